"""What stands where: read off the annotations of constructors."""

import collections.abc
import dataclasses
import functools
import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import pytorch_lightning as pl
from jsonargparse._parameter_resolvers import get_signature_parameters

from project.registry import Registry


@dataclass(frozen=True)
class Parameter:
    """One argument of a constructor."""

    annotation: Any
    required: bool
    default: Any = None
    doc: str = ""


Parameters = dict[str, Parameter]


@functools.cache
def parameters_of(cls: type, given: int = 0) -> Parameters:
    """The arguments of a constructor, those that `**kwargs` passes on included; the first `given` are left out.

    All callers get the same dict.
    """
    found = get_signature_parameters(cls, None)[given:]
    empty = inspect.Parameter.empty
    return {
        item.name: Parameter(item.annotation, item.default is empty, item.default, item.doc or "") for item in found
    }


@dataclass(frozen=True)
class ContainerOf:
    """Several slots: by name, or in a list."""

    kind: Literal["mapping", "sequence"]
    item: Any

    @property
    def lazy(self) -> bool:
        """Whether its slots are built by the engine when it needs them: a single one may then stand for several."""
        return get_origin(self.item) is collections.abc.Callable


def place_of(annotation: Any, value: Any) -> Any:
    """What stands at an annotation for a value.

    A Registry (a slot), a ContainerOf slots, a class whose settings are a group, or None: a plain value.
    """
    options = [option for option in alternatives(annotation) if option is not type(None)]
    places = [place for option in options if (place := _place(option)) is not None]
    for place in places:
        if _is_sequence(place) != isinstance(value, list):
            continue
        plain = isinstance(value, bool | int | float) or (isinstance(value, str) and str in options)
        if not plain:
            return place
    # A value of the wrong form, where no plain value could stand: the place refuses it.
    return places[0] if places and len(places) == len(options) and not _is_sequence(places[0]) else None


def _is_sequence(place: Any) -> bool:
    return isinstance(place, ContainerOf) and place.kind == "sequence"


def _place(annotation: Any) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is collections.abc.Callable:
        return next((place for option in alternatives(arguments[-1]) if (place := _place(option))), None)
    if origin in (dict, list, collections.abc.Iterable, collections.abc.Sequence) and arguments:
        item = arguments[-1]
        if any(_place(option) is not None for option in alternatives(item)):
            return ContainerOf("mapping" if origin is dict else "sequence", item)
        return None
    if isinstance(annotation, type):
        if annotation in Registry.by_base:
            return Registry.by_base[annotation]
        if dataclasses.is_dataclass(annotation) or annotation is pl.Trainer:
            return annotation
    return None


def alternatives(annotation: Any) -> Iterator[Any]:
    """The members of a union, or the annotation itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        for option in get_args(annotation):
            yield from alternatives(option)
    else:
        yield annotation


def slot_field(cls: type) -> str | None:
    """The field of a term (a dataclass of a slot and its reserved keys) that holds the slot."""
    for name, parameter in parameters_of(cls).items() if dataclasses.is_dataclass(cls) else ():
        if any(isinstance(_place(option), Registry) for option in alternatives(parameter.annotation)):
            return name
    return None


def words(annotation: Any) -> str:
    """An annotation in the words of a message: `int | null`."""
    return " | ".join(dict.fromkeys(_word(option) for option in alternatives(annotation)))


def choices(annotation: Any) -> list[str]:
    """The texts that an annotation lets one choose from, if it does."""
    return [
        str(item) for option in alternatives(annotation) if get_origin(option) is Literal for item in get_args(option)
    ]


def _word(annotation: Any) -> str:
    place = _place(annotation)
    if isinstance(place, ContainerOf):
        return f"{_word(place.item)}, or several" + (" by name" if place.kind == "mapping" else "")
    if isinstance(place, type) and (slot := slot_field(place)):
        place = _place(parameters_of(place)[slot].annotation)
    if isinstance(place, Registry):
        return place.a_kind
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation)))
    text = annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    return re.sub(r"\b(?:[a-zA-Z_]+\.)+", "", text).replace("NoneType", "null").replace("None", "null")
