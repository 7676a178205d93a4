"""Samples in the body of a request: a picture, JSON, or several of them as multipart."""

import base64
import json
from typing import Any

import numpy as np

from project.deploy.inputs import InputError, Picture
from project.deploy.predictor import Predictor
from project.deploy.server.problems import Problem


def read_samples(predictor: Predictor, content_type: str, body: bytes) -> list[dict[str, np.ndarray]]:
    """Return the arrays of the samples in a body; decodes pictures, and so belongs in a thread.

    Raises:
        Problem: the body has another form (400, 415), or an input is not valid (422).
    """
    return [_read(predictor, sample) for sample in _parse(predictor, content_type, body)]


def _parse(predictor: Predictor, content_type: str, body: bytes) -> list[dict[str, Any]]:
    pictures = [name for name, raw in predictor.card.inputs.items() if isinstance(raw, Picture)]
    if content_type.startswith("application/json"):
        try:
            content = json.loads(body)
            samples = content if isinstance(content, list) else [content]
            return [
                {name: base64.b64decode(value) if name in pictures else value for name, value in sample.items()}
                for sample in samples
            ]
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise Problem(400, f"the JSON cannot be read: {error}") from error
    if len(predictor.card.inputs) == 1 and pictures:
        return [{pictures[0]: body}]
    raise Problem(415, "send application/json")


def _read(predictor: Predictor, sample: dict[str, Any]) -> dict[str, np.ndarray]:
    try:
        return predictor.read(sample)
    except InputError as error:
        raise Problem(422, str(error)) from error
