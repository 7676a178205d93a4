"""Functions as types: a function whose return annotation is a class can be the `type` of an entry.

`{type: timm.create_model, model_name: resnet18, num_classes: 10}` calls the function. For the code that looks up,
checks and builds components, each function becomes a class: the arguments of its constructor are those of the function,
and calling it returns what the function returns.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, wraps
from inspect import Parameter, Signature
from types import UnionType
from typing import Any, Union, get_args, get_origin

from jsonargparse.typing import class_from_function

from project.core.errors import did_you_mean
from project.core.training.lightning_internals.access import signature_parameters

Function = Callable[..., Any]
KEYWORDS = "keyword_arguments"  # argument of the class that contains what the function takes as **kwargs
_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")  # matched: the message of Python
_functions: dict[type, Function] = {}


def function_of(cls: object) -> Function | None:
    """Return the function that a class was made of; None for another class."""
    return _functions.get(cls) if isinstance(cls, type) else None


def import_path(found: Function | type) -> str:
    """Return the shortest dotted path of a function or class, which users write.

    `timm.create_model` is defined in `timm.models._factory`.
    """
    parts, name = found.__module__.split("."), found.__qualname__
    packages = [".".join(parts[:count]) for count in range(1, len(parts))]
    exporting = (each for each in packages if getattr(sys.modules.get(each), name, None) is found)
    return f"{next(exporting, found.__module__)}.{name}"


def returned_classes(function: Function) -> list[type]:
    """Return the classes in the return annotation of a function; none if it has no annotation, or one of no class."""
    return [cls for cls in map(_without_arguments, _members(_return_annotation(function))) if isinstance(cls, type)]


def describe_return(function: Function) -> str:
    """Return what is wrong with the return annotation of a function, for messages."""
    annotation = _return_annotation(function)
    return "it has no return annotation" if annotation is Signature.empty else f"it returns {annotation!r}"


@cache
def class_of(function: Function, returned: type) -> type:
    """Return the class of a function.

    Args:
        function: the function.
        returned: class of what it returns; a base of the class.
    """
    signature = _signature(function)

    @wraps(function)
    def call(*args: object, **kwargs: Any) -> Any:
        passed_on = kwargs.pop(KEYWORDS, None) or {}
        try:
            built = function(*args, **kwargs, **passed_on)
        except TypeError as error:
            wrong = _UNEXPECTED.search(str(error))
            if wrong and wrong[1] in passed_on:  # a mistake in the yaml, not in the code that was called
                raise TypeError(f"{error}{did_you_mean(wrong[1], signature.parameters)}") from error
            raise
        if not isinstance(built, returned):
            raise TypeError(f"returned a {type(built).__name__}; its return annotation is {returned.__name__}")
        return built

    call.__doc__ = function.__doc__ or ""  # not that of the base
    call.__signature__ = signature  # type: ignore[attr-defined]
    name = re.sub(r"\W", "_", f"{function.__module__}__{function.__qualname__}__{returned.__qualname__}")
    globals().pop(name, None)  # of a function that was defined again, as in a notebook
    cls = class_from_function(call, returned, name)  # under its name in this module, from which it is imported
    cls.__name__ = function.__name__
    cls.__abstractmethods__ = frozenset()  # no object of the class itself is built
    _functions[cls] = function
    return cls


def _signature(function: Function) -> Signature:
    """Return the signature of a function with evaluated annotations, in which KEYWORDS replaces `**kwargs`."""
    own = inspect.signature(function).parameters
    evaluated = {item.name: item.annotation for item in signature_parameters(function)}
    parameters = [
        Parameter(KEYWORDS, Parameter.KEYWORD_ONLY, default=None, annotation=dict[str, Any] | None)
        if item.kind is Parameter.VAR_KEYWORD
        else item.replace(
            annotation=evaluated.get(name, item.annotation) if isinstance(item.annotation, str) else item.annotation
        )
        for name, item in own.items()
        if item.kind is not Parameter.VAR_POSITIONAL
    ]
    return Signature(parameters)


def _return_annotation(function: Function) -> Any:
    try:
        annotation = inspect.signature(function).return_annotation
    except ValueError:  # a builtin
        return Signature.empty
    with suppress(Exception):  # the text of an annotation may name what is imported only for type checkers
        return eval(annotation, inspect.unwrap(function).__globals__) if isinstance(annotation, str) else annotation
    return annotation


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, or the annotation itself."""
    yield from get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _without_arguments(annotation: Any) -> Any:
    return get_origin(annotation) or annotation
