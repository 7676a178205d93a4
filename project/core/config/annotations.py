"""What a constructor's annotations accept: a component, several, a group of settings, or a plain value."""

import collections.abc
import dataclasses
import functools
import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytorch_lightning as pl

from project.core.config.bounds import add_bounds, describe_bounds
from project.core.config.terms import VisualTerm
from project.core.training.lightning_internals.access import signature_parameters
from project.registry import Registry


@dataclass(frozen=True)
class Parameter:
    """An argument of a constructor."""

    annotation: Any
    required: bool
    default: Any = None
    doc: str = ""


Parameters = dict[str, Parameter]


@functools.cache
def parameters_of(cls: type, num_engine_args: int = 0) -> Parameters:
    """Return the arguments of a constructor, including those that it passes on as `**kwargs`.

    All callers get the same dict.

    Args:
        cls: the class.
        num_engine_args: number of leading arguments to leave out, which the engine gives.
    """
    found = signature_parameters(cls)[num_engine_args:]
    empty = inspect.Parameter.empty
    return {
        item.name: Parameter(
            add_bounds(item.annotation, cls, item.name), item.default is empty, item.default, item.doc or ""
        )
        for item in found
    }


@dataclass(frozen=True)
class ContainerOf:
    """Several config entries, by name or in a list."""

    kind: Literal["mapping", "sequence"]
    item: Any

    @property
    def accepts_single(self) -> bool:
        """Whether one entry may be given in place of several: datasets, which the engine builds later, and visuals."""
        return get_origin(self.item) is collections.abc.Callable or self.item is VisualTerm


def resolve_annotation(annotation: object, value: object) -> Any:
    """Return what a value means under an annotation.

    Returns:
        A Registry (a component), a ContainerOf components, a class (a group of settings), or None (a plain value).
    """
    members = [member for member in union_members(annotation) if member is not type(None)]
    targets = [target for member in members if (target := _target(member)) is not None]
    is_plain = isinstance(value, bool | int | float) or (isinstance(value, str) and str in members)
    for target in targets:
        if isinstance(value, str) and isinstance(target, type) and component_field(target) is None:
            continue  # a text names a component, but is no group of settings
        if not is_plain and _is_sequence(target) == isinstance(value, list):
            return target
    # If no member is plain, the value has the wrong form: the check of the first target reports that.
    if targets and len(targets) == len(members) and not _is_sequence(targets[0]):
        return targets[0]
    return None


def num_caller_args(annotation: object, registry: Registry) -> int | None:
    """Return how many leading arguments of a component the code that builds it later gives; None for any number.

    Those that the engine gives are not counted: parameters_of leaves them out.
    """
    for member in union_members(annotation):
        if get_origin(member) is collections.abc.Callable and _target(member) is registry:
            arguments = get_args(member)[0]
            return None if arguments is Ellipsis else max(0, len(arguments) - registry.num_engine_args)
    return 0


def _is_sequence(target: object) -> bool:
    return isinstance(target, ContainerOf) and target.kind == "sequence"


def _target(annotation: object) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is collections.abc.Callable and arguments:
        return next((target for member in union_members(arguments[-1]) if (target := _target(member))), None)
    if origin in (dict, list, collections.abc.Iterable, collections.abc.Sequence) and arguments:
        item = arguments[-1]
        if any(_target(member) is not None for member in union_members(item)):
            return ContainerOf("mapping" if origin is dict else "sequence", item)
        return None
    if isinstance(annotation, type):
        if annotation in Registry.by_base:
            return Registry.by_base[annotation]
        if dataclasses.is_dataclass(annotation) or annotation is pl.Trainer:
            return annotation
    return None


def union_members(annotation: object) -> Iterator[Any]:
    """Yield the members of a union, each with the metadata of an Annotated union, or the annotation itself."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        for member in arguments:
            yield from union_members(member)
    elif origin is Annotated:
        for member in union_members(arguments[0]):
            yield member if member is type(None) else Annotated[member, *arguments[1:]]
    else:
        yield annotation


def component_field(cls: type) -> str | None:
    """Return the name of the field of a term that contains the component; the other fields are its reserved keys.

    A term is a dataclass such as LossTerm. Return None for other classes.
    """
    for name, parameter in parameters_of(cls).items() if dataclasses.is_dataclass(cls) else ():
        if any(isinstance(_target(member), Registry) for member in union_members(parameter.annotation)):
            return name
    return None


def describe_type(annotation: object) -> str:
    """Return an annotation as messages show it: `int | null`."""
    return " | ".join(dict.fromkeys(_describe_member(member) for member in union_members(annotation)))


def choices(annotation: object) -> list[str]:
    """Return the values of the Literals in an annotation, as strings."""
    return [
        str(item) for member in union_members(annotation) if get_origin(member) is Literal for item in get_args(member)
    ]


def _describe_member(annotation: object) -> str:
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return f"{_describe_member(inner)} {describe_bounds(metadata)}".strip()
    target = _target(annotation)
    if isinstance(target, ContainerOf):
        return f"{_describe_member(target.item)}, or several" + (" by name" if target.kind == "mapping" else "")
    if isinstance(target, type) and (field := component_field(target)):
        target = _target(parameters_of(target)[field].annotation)
    if isinstance(target, Registry):
        return target.a_kind
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation)))
    origin = get_origin(annotation)
    if origin in (list, tuple, dict, collections.abc.Sequence, collections.abc.Iterable):
        arguments = ["..." if item is Ellipsis else describe_type(item) for item in get_args(annotation)]
        return f"{origin.__name__}[{', '.join(arguments)}]"
    text = annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    return re.sub(r"\b(?:[a-zA-Z_]+\.)+", "", text).replace("NoneType", "null").replace("None", "null")
