"""Model card: what an exported model takes and returns, and where it comes from. It is stored in model.onnx."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from project.deploy.inputs import Input, InputError, Picture, from_json, to_json

METADATA_KEY = "model_card"  # stored: the key in `metadata_props` of model.onnx
_FORMAT = 1
_DIMENSIONS = ("channels", "height", "width")  # of a picture


@dataclass(frozen=True)
class Length:
    """The lengths that a dimension may have: `minimum`, `minimum` + `step`, ..., `maximum`; None is no limit."""

    minimum: int = 1
    maximum: int | None = None
    step: int = 1

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
        values["inputs"] = {name: _read_input(raw) for name, raw in values["inputs"].items()}
        values["shapes"] = {name: tuple(map(_read_length, lengths)) for name, lengths in values["shapes"].items()}
        for key in ("outputs", "answers", "checkpoint"):
            values[key] = {str(name): str(value) for name, value in values[key].items()}
        for key in ("config", "state"):
            if not isinstance(values.get(key, ""), str):
                raise TypeError(f"its `{key}` is not a text")
        return ModelCard(**values)
    except InputError:
        raise
    except Exception as error:  # a damaged card may contain anything
        raise InputError(f"its model card is damaged: {error}") from error


def _read_input(description: Mapping[str, Any]) -> Input:
    raw = from_json(description)
    lengths: tuple[int | None, ...] = (raw.size,) if isinstance(raw, Picture) else raw.shape
    is_known = raw.channels in (1, 3) if isinstance(raw, Picture) else np.dtype(raw.dtype).kind in "biuf"
    if not is_known or any(length is not None and length < 0 for length in lengths):
        raise ValueError(f"{dict(description)} describes no input")
    return raw


def _read_length(values: Mapping[str, Any]) -> Length:
    length = Length(**values)
    if length.minimum < 0 or length.step < 1 or (length.maximum or 0) < 0:
        raise ValueError(f"{dict(values)} describes no lengths")
    return length
