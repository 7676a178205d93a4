"""Construction of components: an error in a constructor is reported with the config path of the component.

The engine builds a dataset when a stage needs it. A dataset inside another one is built with that one.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from jsonargparse import add_instantiator
from torch import nn

from project.core.config.any_texts import KeptText
from project.core.config.tensors import keep_given_buffers
from project.core.errors import ConfigError, constructor_error, has_location, is_file_error
from project.registry import Dataset

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
    num_running: int = 0  # constructors that have begun and not ended


_failure: ContextVar[_Failure | None] = ContextVar("_failure", default=None)


@dataclass
class _Unbuilt:
    """A dataset that is an argument of something that has not been built yet."""

    make: Callable[[], Dataset]
    location: str


def construct(class_type: type[Built], *args: Any, **kwargs: Any) -> Built:
    """Build an object for jsonargparse, or promise a dataset; remember an error in the constructor."""
    failure = _failure.get()
    is_dataset = isinstance(class_type, type) and issubclass(class_type, Dataset)
    if failure is not None and not failure.num_running and is_dataset:
        make = partial(construct, class_type, *args, **kwargs)
        return cast(Built, _Unbuilt(make, _describe(class_type, kwargs, failure.components)))
    try:
        built = _call(class_type, args, kwargs, failure)
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


def build_dataset(make: Callable[[], Dataset], location: str) -> Dataset:
    """Build a dataset.

    Raises:
        ConfigError: it cannot use its files, or a library refuses its arguments.
    """
    try:
        return make()
    except Exception as error:
        if is_file_error(error):
            raise ConfigError(f"{location}: {error}") from error
        if has_location(error):  # a dataset inside this one
            raise
        raise constructor_error(error, location) from error.__cause__


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


def _call(cls: type[Built], args: tuple[Any, ...], kwargs: dict[str, Any], failure: _Failure | None) -> Built:
    """Call a constructor."""
    if failure is None:
        return cls(*_prepare(args), **_prepare(kwargs))
    failure.num_running += 1
    try:
        return cls(*_prepare(args), **_prepare(kwargs))
    finally:
        failure.num_running -= 1


def _prepare(value: Any) -> Any:
    """Return an argument of a constructor in the form that it takes, with the datasets in it built."""
    if isinstance(value, _Unbuilt):
        return build_dataset(value.make, value.location)
    if type(value) is KeptText:
        return str(value)
    if type(value) in (list, tuple, set):
        return type(value)(map(_prepare, value))
    return {key: _prepare(item) for key, item in value.items()} if type(value) is dict else value


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
