"""Construction of components: an error in a constructor is told with the config path of the component."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from jsonargparse import add_instantiator
from torch import nn

from project.core.config.tensors import keep_given_buffers
from project.core.errors import ConfigError, constructor_error

Built = TypeVar("Built")


@dataclass
class Component:
    """A component of the yaml: its config path, class, and the arguments that the yaml gives."""

    path: str
    cls: type
    init_args: Mapping[str, Any]


@dataclass
class _Failure:
    """The last error in a constructor. jsonargparse tries all members of a union, and hides it in a list of errors."""

    components: list[Component]
    error: Exception | None = None


_failure: ContextVar[_Failure | None] = ContextVar("_failure", default=None)


def construct(class_type: type[Built], *args: Any, **kwargs: Any) -> Built:
    """Build an object for jsonargparse; remember an error in the constructor."""
    failure = _failure.get()
    try:
        built = class_type(*args, **kwargs)
        if isinstance(built, nn.Module) and "_modules" not in vars(built):
            where = _describe(class_type, kwargs, failure.components if failure else [])
            raise ConfigError(f"{where}: its constructor does not call super().__init__()")
    except Exception as error:
        if failure is not None:
            failure.error = constructor_error(error, _describe(class_type, kwargs, failure.components))
        raise
    if isinstance(built, nn.Module) and class_type.__module__.startswith("torch."):
        keep_given_buffers(built, kwargs)
    if failure is not None:
        failure.error = None  # another member of a union was right
    return built


add_instantiator(construct, object)


@contextmanager
def raising_constructor_errors(components: list[Component]) -> Iterator[None]:
    """Raise the error of a constructor in the `with` block, with its config path, instead of jsonargparse's.

    Args:
        components: components of the configuration.
    """
    failure = _Failure(components)
    token = _failure.set(failure)
    try:
        yield
    except Exception:
        if failure.error is not None:
            raise failure.error from failure.error.__cause__
        raise
    finally:
        _failure.reset(token)


def _describe(cls: type, arguments: Mapping[str, Any], components: list[Component]) -> str:
    """Return the config path and name of a class that is being built with some arguments."""
    candidates = [each for each in components if each.cls is cls]
    for each in candidates:
        given = each.init_args
        if arguments.keys() == given.keys() and all(_may_be(arguments[key], given[key]) for key in given):
            return f"{each.path} ({cls.__name__})"
    return f"{candidates[0].path} ({cls.__name__})" if candidates else cls.__name__


def _may_be(built: object, given: object) -> bool:
    """Return whether an argument may have been built from a value of the yaml."""
    plain = (bool, int, float, str)
    return not isinstance(given, plain) or not isinstance(built, plain) or built == given
