"""Model card: what an exported model takes and returns, and where it comes from. It is stored in model.onnx."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from project.deploy.inputs import Input, InputError, from_json, to_json

METADATA_KEY = "model_card"  # stored: the key in `metadata_props` of model.onnx
_FORMAT = 1


@dataclass(frozen=True)
class Length:
    """The lengths that a dimension may have: `minimum`, `minimum` + `step`, ..., `maximum`; None is no limit."""

    minimum: int = 1
    maximum: int | None = None
    step: int = 1


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
        return ModelCard(**values)
    except InputError:
        raise
    except Exception as error:  # a damaged card may contain anything
        raise InputError(f"its model card is damaged: {error}") from error
