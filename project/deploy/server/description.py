"""Description of the model for `/model`, from its card."""

import re
from dataclasses import asdict
from typing import Any

from project.deploy.inputs import to_json
from project.deploy.predictor import Predictor
from project.deploy.server.settings import Settings


def describe_model(predictor: Predictor, settings: Settings, max_pixels: int) -> dict[str, Any]:
    """Return what `/model` answers; the configuration stays private, because it names paths.

    Args:
        predictor: the model.
        settings: settings of the server, whose limits are told.
        max_pixels: largest width x height of a picture that the server takes.
    """
    card = predictor.card
    return {
        "name": find_name(predictor),
        "sha256": predictor.sha256,
        "inputs": {name: to_json(raw) for name, raw in card.inputs.items()},
        "shapes": {name: [asdict(length) for length in lengths] for name, lengths in card.shapes.items()},
        "answers": list(card.answers),
        "dtypes": {name: str(predictor.empty_answer(name).dtype) for name in card.answers},
        "classes": dict(card.classes),
        "checkpoint": dict(card.checkpoint),
        "git_commit": card.git_commit,
        "versions": dict(card.versions),
        "largest_picture": card.largest_picture,
        "max_pixels": max_pixels,
        "limits": asdict(settings.limits),
        "needs_token": settings.token is not None,
    }


def find_name(predictor: Predictor) -> str:
    """Return the name of the run that a model comes from, or else that of its file."""
    name = re.search(r"^name: (['\"]?)(.+)\1$", predictor.card.config, re.M)
    return name[2] if name else predictor.path.stem
