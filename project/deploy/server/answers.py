"""Answers of a net as JSON and pictures: class names, probabilities, and PNG files."""

import base64
import io
import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from PIL import Image

from project.deploy.inputs import Picture
from project.deploy.model_card import ModelCard
from project.deploy.predictor import Predictor

_TOLERANCE = 1e-5  # of a probability that the graph computed in another order
_SPECIAL = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def find_pictures(predictor: Predictor) -> list[str]:
    """Return the answers that are pictures `(1 or 3, H, W)`.

    The graph fixes their number of channels: an answer `(T, H, W)` for a sequence is none, not even if T is 3.
    """
    empty = {name: predictor.empty_answer(name) for name in predictor.card.answers}
    return [
        name for name, value in empty.items() if value.ndim == 3 and len(value) in (1, 3) and value.dtype.kind in "biuf"
    ]


def describe_prediction(
    card: ModelCard, pictures: Collection[str], sample: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return what is predicted of a sample, as JSON can hold it.

    Args:
        card: description of the model.
        pictures: answers that are pictures.
        sample: arrays of the inputs.
        outputs: all outputs of the graph for the sample.

    Returns:
        `answers` by name, of which pictures are `data:image/png;base64,...`; `class_names` of those answers that are
        classes; `probabilities` of all classes, where the graph has them; `sizes`, height and width of each picture
        that the net was given.
    """
    values = {name: outputs[output] for name, output in card.answers.items()}
    labels = {name: label for name in card.classes if (label := _read_label(card, name, values)) is not None}
    found = {name: _find_probabilities(card, name, label, outputs) for name, label in labels.items()}
    return {
        "answers": {
            name: as_url(value) if name in pictures and value.size else as_json(value) for name, value in values.items()
        },
        "class_names": {name: card.classes[name][label] for name, label in labels.items()},
        "probabilities": {name: each.tolist() for name, each in found.items() if each is not None},
        "sizes": {name: list(sample[name].shape[1:]) for name, raw in card.inputs.items() if isinstance(raw, Picture)},
    }


def as_json(value: np.ndarray) -> Any:
    """Return an array as lists of numbers.

    What JSON has no number for is a text, "NaN", "Infinity" or "-Infinity", which `float` of Python and `Number` of
    JavaScript read. A complex number is a list of two numbers.
    """
    if value.dtype.kind == "c":
        value = np.stack([value.real, value.imag], axis=-1)
    lists = value.tolist()
    return lists if value.dtype.kind in "biu" or np.isfinite(value).all() else _name_special(lists)


def _name_special(value: Any) -> Any:
    if isinstance(value, list):
        return [_name_special(each) for each in value]
    return value if math.isfinite(value) else _SPECIAL[str(value)]


def _read_label(card: ModelCard, name: str, values: Mapping[str, np.ndarray]) -> int | None:
    """Return the class that an answer is; None if it is no class that has a name."""
    value = values.get(name)
    if value is None or not is_label(value):
        return None
    return label if 0 <= (label := int(value)) < len(card.classes[name]) else None


def _find_probabilities(card: ModelCard, name: str, label: int, outputs: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return the probabilities of all classes; None if no output of the graph can be told to be them.

    The card does not say which output they are, or are the softmax of. One is taken only if its largest value belongs
    to the class that the net answered, and equals a number that the net answered, such as `probability`.
    """
    used = dict.fromkeys([*card.outputs.values(), *card.answers.values()])
    vectors = [value for output in used if (value := outputs[output]).shape == (len(card.classes[name]),)]
    values = [outputs[output] for output in card.answers.values()]
    answered = [float(value) for value in values if value.dtype.kind == "f" and not value.ndim]
    for vector in vectors:
        if vector.dtype.kind != "f" or not np.isfinite(vector).all():
            continue
        scores = vector.astype(np.float64)
        exponentials = np.exp(scores - scores.max())
        for found in (scores, exponentials / exponentials.sum()):
            is_distribution = found.min() >= 0 and abs(found.sum() - 1) <= _TOLERANCE
            is_answered = any(abs(found[label] - number) <= _TOLERANCE for number in answered)
            if is_distribution and is_answered and found[label] == found.max():
                return found
    return None


def is_label(value: np.ndarray) -> bool:
    """Return whether an answer of a sample may be the number of a class."""
    return not value.ndim and value.dtype.kind in "biu"


def to_png(picture: np.ndarray) -> bytes:
    """Return a picture `(1 or 3, H, W)` as a PNG file with the pixels that `predict` of the project writes.

    Numbers in [0, 1] become 0 to 255, others the nearest of these; integers are pixels already.
    """
    values = picture.astype(np.float32)
    if picture.dtype.kind != "f":
        values /= np.float32(255)
    pixels = np.nan_to_num((values.clip(0, 1) * np.float32(255)).round()).astype(np.uint8)
    rgb = np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(file, "png", compress_level=1)
    return file.getvalue()


def as_url(picture: np.ndarray) -> str:
    """Return a picture as a PNG file in a URL."""
    return "data:image/png;base64," + base64.b64encode(to_png(picture)).decode()


def prefers_png(accept: str) -> bool:
    """Return whether a header Accept names PNG files, and gives JSON a lower weight than them.

    Only what is named counts: `*/*` is in most headers, and means that anything will do.
    """
    weights: dict[str, float] = {}
    for part in accept.split(","):
        kind, *options = (each.strip().lower() for each in part.split(";"))
        weights[kind] = _read_weight(options)
    png = weights.get("image/png", weights.get("image/*", 0.0))
    return png > weights.get("application/json", weights.get("application/*", 0.0))


def _read_weight(options: list[str]) -> float:
    for option in options:
        name, _, value = option.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
