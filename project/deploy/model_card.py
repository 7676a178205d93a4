"""Model card: what an exported model takes and returns, and where it comes from. It is stored in model.onnx."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from project.deploy.inputs import Input, InputError, Picture, from_json, to_json

METADATA_KEY = "model_card"  # stored: the key in `metadata_props` of model.onnx
_FORMAT = 1
_MAX_VALUES = 2**31  # of the smallest sample, which servers compute at their start
_MAX_TEXT = 300  # characters of a text from the file in a message
_DIMENSIONS = ("channels", "height", "width")  # of a picture


@dataclass(frozen=True)
class Length:
    """The lengths that a dimension may have: `minimum`, `minimum` + `step`, ..., `maximum`; None is no limit."""

    minimum: int = 1
    maximum: int | None = None
    step: int = 1

    def __post_init__(self) -> None:
        if self.minimum < 0 or self.step < 1 or (self.maximum or 0) < 0:
            raise ValueError(f"{asdict(self)} describes no lengths")

    def allows(self, length: int) -> bool:
        """Return whether a dimension may have a length."""
        is_short = self.maximum is None or length <= self.maximum
        return is_short and length >= self.minimum and (length - self.minimum) % self.step == 0

    def describe(self) -> str:
        """Return the lengths in words: `8`, `at least 4`, `from 4 to 512 in steps of 4`."""
        if self.minimum == self.maximum:
            return str(self.minimum)
        span = f"at least {self.minimum}" if self.maximum is None else f"from {self.minimum} to {self.maximum}"
        return span if self.step == 1 else f"{span} in steps of {self.step}"


@dataclass(frozen=True)
class ModelCard:
    """Description of an exported model.

    Args:
        inputs: raw inputs by the name of the tensor, in the order of the graph's.
        shapes: lengths of the dimensions of each input after the batch, by the name of the tensor.
        outputs: name in the graph of each output of the net.
        answers: name in the graph of each value that the net's `predict` returns, or of each output without one.
        classes: names of the classes 0, 1, ..., by the answer that is one of them, such as `label`.
        config: configuration of the run as yaml.
        checkpoint: `file` and `sha256` of the checkpoint.
        git_commit: commit of the project, with `+` if files were changed; None without git.
        versions: versions of the packages that wrote the file, by name.
        largest_picture: height and width of the largest square picture that needs at most 1 GB; None without pictures
            of any size.
        state: tensors of losses and metrics, such as weights of classes, for `test`: a file of torch in base64; empty
            if they have none.
    """

    inputs: Mapping[str, Input]
    shapes: Mapping[str, tuple[Length, ...]]
    outputs: Mapping[str, str]
    answers: Mapping[str, str]
    config: str
    checkpoint: Mapping[str, str]
    classes: Mapping[str, list[str]] = field(default_factory=dict)
    git_commit: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    largest_picture: int | None = None
    state: str = ""

    def check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise InputError if the net does not take a shape; the graph would fail, or return something wrong."""
        lengths = self.shapes[name]
        if len(shape) != len(lengths):
            raise InputError(f"its shape is {shape}; it must have {len(lengths)} dimensions")
        for number, (length, allowed) in enumerate(zip(shape, lengths, strict=True)):
            if not allowed.allows(length):
                is_picture = isinstance(self.inputs[name], Picture)
                dimension = _DIMENSIONS[number] if is_picture else f"length of dimension {number}"
                verb = "are" if dimension == "channels" else "is"
                raise InputError(f"its {dimension} {verb} {length}; it must be {allowed.describe()}")

    def to_text(self) -> str:
        """Return the card as JSON."""
        values = asdict(self) | {"inputs": {name: to_json(raw) for name, raw in self.inputs.items()}}
        return json.dumps({"format": _FORMAT, **values})


def read_card(text: str) -> ModelCard:
    """Return the card of a text.

    Raises:
        InputError: it is no card, or a newer version of the project wrote it.
    """
    try:
        values: dict[str, Any] = json.loads(text)
        if (version := values.pop("format")) > _FORMAT:
            raise InputError(f"its model card has format {version}, but this version reads formats up to {_FORMAT}")
        values["inputs"] = {name: from_json(raw) for name, raw in values["inputs"].items()}
        values["shapes"] = {
            name: tuple(Length(**length) for length in lengths) for name, lengths in values["shapes"].items()
        }
        card = ModelCard(**values)
        _check(card)
        return card
    except InputError:
        raise
    except Exception as error:  # a damaged card may contain anything
        raise InputError(f"its model card is damaged: {printable(error)}") from error


def printable(text: object) -> str:
    """Return the beginning of a text from a stranger's file in one line, without commands for a terminal."""
    shown = str(text).strip()[:_MAX_TEXT]
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in shown)


def _check(card: ModelCard) -> None:
    """Raise ValueError if a value of a card has another type than its annotation, or describes nothing."""
    for name, annotation in get_type_hints(ModelCard).items():
        if not _has_type(value := getattr(card, name), annotation):
            raise ValueError(f"`{name}` is {value!r}")
    for name in (*card.inputs, *card.outputs, *card.answers):
        if not name.isprintable():
            raise ValueError(f"{name!r} is no name")
    for name, raw in card.inputs.items():
        is_known = isinstance(raw, Picture) or np.dtype(raw.dtype).kind in "biuf"
        if not is_known or any(length is not None and length < 0 for length in raw.shape):
            raise ValueError(f"{to_json(raw)} describes no input")
        for length, allowed in zip(raw.shape, card.shapes.get(name, ()), strict=False):
            if length is not None and not allowed.allows(length):
                raise ValueError(f"`inputs` and `shapes` of '{name}' differ")
    for name, lengths in card.shapes.items():
        if math.prod(length.minimum for length in lengths) > _MAX_VALUES:
            raise ValueError(f"`shapes` of '{name}' is too large")


def _has_type(value: object, annotation: Any) -> bool:
    """Return whether a value has the type of an annotation; a bool is no int."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (UnionType, Union):
        return any(_has_type(value, each) for each in arguments)
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in arguments)
    if origin is Mapping:
        items = value.items() if isinstance(value, dict) else [(None, None)]
        return all(_has_type(key, arguments[0]) and _has_type(item, arguments[1]) for key, item in items)
    if origin in (list, tuple):
        return isinstance(value, origin) and all(_has_type(item, arguments[0]) for item in value)
    if type(value) is not annotation:
        return False
    if not is_dataclass(value):
        return True
    hints = get_type_hints(annotation)
    return all(_has_type(getattr(value, each.name), hints[each.name]) for each in fields(value))
