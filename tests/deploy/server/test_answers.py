"""Answers of a net, as JSON and as pictures."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from project.core.files import write_picture
from project.core.model.wiring import as_picture
from project.deploy.inputs import Numbers
from project.deploy.model_card import Length, ModelCard
from project.deploy.server.answers import as_json, describe_prediction, prefers_png, to_png

CLASSES = {"label": ["a", "b", "c"]}
LOGITS = np.array([1, 3, 2], np.float32)
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum()


def describe(outputs: dict[str, np.ndarray], answers: list[str]) -> dict[str, Any]:
    """Return the description of a prediction; outputs that are no answers are those of the net."""
    card = ModelCard(
        inputs={"x": Numbers()},
        shapes={"x": (Length(),)},
        outputs={name: name for name in outputs if name not in answers},
        answers={name: name for name in answers},
        config="",
        checkpoint={},
        classes=CLASSES,
    )
    return describe_prediction(card, [], {"x": np.zeros(1)}, outputs)


def softmax(values: np.ndarray) -> np.ndarray:
    exponentials = np.exp(values.astype(np.float64))
    return np.asarray(exponentials / exponentials.sum())


@pytest.mark.parametrize(
    ("label", "probability", "scores", "expected"),
    [
        pytest.param(1, PROBABILITIES[1], LOGITS, softmax(LOGITS), id="logits"),
        pytest.param(1, PROBABILITIES[1], PROBABILITIES, PROBABILITIES, id="probabilities"),
        pytest.param(1, PROBABILITIES[1] + 1e-3, LOGITS, None, id="another probability"),
        pytest.param(2, PROBABILITIES[2], LOGITS, None, id="another class than the largest"),
        pytest.param(1, PROBABILITIES[1], LOGITS[:2], None, id="another number of classes"),
        pytest.param(1, 1, LOGITS, None, id="no probability, but an integer"),
        pytest.param(1, np.nan, np.array([1, np.nan, 2], np.float32), None, id="NaN"),
        pytest.param(1, 1.0, np.array([1, np.inf, 2], np.float32), None, id="infinity"),
        pytest.param(1, 1.0, np.array([0, 90000, 0], np.float64), [0, 1, 0], id="large logits"),
        pytest.param(1, 1.2, np.array([-0.1, 1.2, -0.1]), None, id="sum is one, but negative"),
    ],
)
def test_probabilities_are_those_that_belong_to_the_answer(
    label: int, probability: Any, scores: np.ndarray, expected: Any
) -> None:
    outputs = {"label": np.asarray(label), "probability": np.asarray(probability), "scores": scores}
    found = describe(outputs, ["label", "probability"])["probabilities"]
    if expected is None:
        assert found == {}
    else:
        np.testing.assert_allclose(found["label"], expected, atol=1e-7)


@pytest.mark.parametrize(
    ("label", "name"),
    [(2, "c"), (True, "b"), (3, None), (-1, None), (1.0, None), ([1], None)],
)
def test_only_classes_that_have_a_name_are_named(label: Any, name: str | None) -> None:
    prediction = describe({"label": np.asarray(label)}, ["label"])
    assert prediction["class_names"] == ({} if name is None else {"label": name})
    assert prediction["answers"] == {"label": label}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([1, np.nan, np.inf, -np.inf], np.float32), [1, "NaN", "Infinity", "-Infinity"]),
        (np.float16(0.5), 0.5),
        (np.array([[True], [False]]), [[True], [False]]),
        (np.array([1 + 2j, complex(0, np.inf)], np.complex64), [[1, 2], [0, "Infinity"]]),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.zeros((0, 3)), []),
    ],
)
def test_arrays_become_json(value: Any, expected: Any) -> None:
    assert json.loads(json.dumps(as_json(np.asarray(value)), allow_nan=False)) == expected


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool"])
def test_pictures_have_the_pixels_that_predict_writes(tmp_path: Path, dtype: str, channels: int) -> None:
    """Halves between two pixels, and values out of [0, 1], too."""
    values = np.concatenate([np.arange(511) / 510, [-0.5, 1.5, np.inf, -np.inf]]).reshape(1, 5, 103)
    if not dtype.startswith("float"):
        values = np.arange(-100, 415).reshape(1, 5, 103)
    picture = np.repeat(values, channels, 0).astype(dtype)
    write_picture(tmp_path / "a.png", as_picture(torch.from_numpy(picture).expand(3, -1, -1), "test"))
    with Image.open(tmp_path / "a.png") as own, Image.open(io.BytesIO(to_png(picture))) as served:
        assert own.mode == served.mode == "RGB"
        assert np.array_equal(np.asarray(own), np.asarray(served))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("image/png", True),
        ("Image/PNG; q=0.5", True),
        ("image/avif,image/*;q=0.8,*/*;q=0.8", True),
        ("image/png, application/json;q=0.9", True),
        ("", False),
        ("*/*", False),
        ("text/html,*/*;q=0.8", False),
        ("image/png;q=0", False),
        ("image/png;q=0.5, application/json", False),
        ("image/png, application/json", False),
        ("image/webp, */*", False),
        (";,q=x;q=y,image/png;q=z", False),
    ],
)
def test_preference_of_a_client(accept: str, expected: bool) -> None:
    assert prefers_png(accept) == expected
