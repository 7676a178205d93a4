"""Answers of a net as JSON and pictures: class names, probabilities, and PNG files."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from project.deploy.inputs import Picture
from project.deploy.model_card import ModelCard


def describe_prediction(
    card: ModelCard, sample: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return what is predicted of a sample, as JSON can hold it.

    Args:
        card: description of the model.
        sample: arrays of the inputs.
        outputs: all outputs of the graph for the sample.

    Returns:
        `answers` by name, of which pictures are `data:image/png;base64,...`; `class_names` of those answers that are
        classes; `probabilities` of all classes, where the graph has them; `sizes`, height and width of each picture
        that the net was given.
    """
    answers: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, output in card.answers.items():
        value = outputs[output]
        answers[name] = as_url(value) if is_picture(value) else value.tolist()
        if name in card.classes and not value.ndim:
            names[name] = card.classes[name][int(value)]
    sizes = {name: list(sample[name].shape[1:]) for name, raw in card.inputs.items() if isinstance(raw, Picture)}
    return {"answers": answers, "class_names": names, "probabilities": {}, "sizes": sizes}


def is_picture(value: np.ndarray) -> bool:
    """Return whether an answer of a sample is a picture, `(1 or 3, H, W)`."""
    return value.ndim == 3 and len(value) in (1, 3)


def to_png(picture: np.ndarray) -> bytes:
    """Return a picture `(1 or 3, H, W)` in [0, 1] as a PNG file, with the pixels that `test` writes."""
    pixels = (picture.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "png")
    return file.getvalue()


def as_url(picture: np.ndarray) -> str:
    """Return a picture as a PNG file in a URL."""
    return "data:image/png;base64," + base64.b64encode(to_png(picture)).decode()
