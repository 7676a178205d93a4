"""What counts as equal: floats up to rounding, integers except where two scores are tied, NaN only to itself."""

import math

import pytest
import torch
from torch import Tensor

from project.core.export.differences import differ, metrics_differ


def excess(expected: dict[str, Tensor], values: dict[str, Tensor], name: str) -> float:
    """Return the difference of an output as a multiple of what is allowed."""
    return differ(expected, values, lambda row: f"row {row}")[name].excess


@pytest.mark.parametrize(
    ("expected", "value", "is_equal"),
    [
        ([0.0, 1.0], [0.9e-4, 1.0], True),
        ([0.0, 1.0], [1.1e-4, 1.0], False),
        ([0.0, 100.0], [0.9e-2, 100.0], True),  # relative to the largest value
        ([0.0, 100.0], [1.1e-2, 100.0], False),
        ([math.nan, math.inf, -math.inf], [math.nan, math.inf, -math.inf], True),
        ([math.nan], [0.0], False),
        ([0.0], [math.nan], False),
        ([math.inf], [-math.inf], False),
        ([math.inf], [1e30], False),
        ([math.inf, 1e-3], [math.inf, 2e-3], False),
        ([], [], True),
    ],
)
def test_floats(expected: list[float], value: list[float], is_equal: bool) -> None:
    assert (excess({"x": torch.tensor(expected)}, {"x": torch.tensor(value)}, "x") <= 1) is is_equal


@pytest.mark.parametrize(
    ("scores", "expected", "value", "is_equal"),
    [
        ([1.0, 1.00001, 0.0], 1, 0, True),
        ([1.0, 1.00001, 0.0], 1, 2, False),
        ([1.0, 1.01, 0.0], 1, 0, False),
        ([1.0, 1.00001, 5.0], 1, 0, False),  # no index of the highest
        ([1.0, 1.0, 1.0], 1, 3, False),
        ([1.0, 1.0, 1.0], 1, -1, False),
    ],
)
def test_integers_may_differ_where_scores_are_tied(
    scores: list[float], expected: int, value: int, is_equal: bool
) -> None:
    outputs = {"scores": torch.tensor([scores, scores]), "label": torch.tensor([expected, expected])}
    assert (excess(outputs, outputs | {"label": torch.tensor([expected, value])}, "label") <= 1) is is_equal


def test_integers_of_pixels_and_without_scores() -> None:
    """A score map `(B, K, H, W)` belongs to indices `(B, H, W)`; no other tensor excuses a difference."""
    scores = torch.zeros(1, 3, 2, 2)
    scores[:, 2, 0, 0] = 1
    label = scores.argmax(1)
    moved = label.clone()
    moved[0, 1, 1] = 1
    assert excess({"scores": scores, "label": label}, {"scores": scores, "label": moved}, "label") == 0
    assert excess({"label": label}, {"label": moved}, "label") == math.inf
    moved[0, 0, 0] = 1
    assert excess({"scores": scores, "label": label}, {"scores": scores, "label": moved}, "label") == math.inf


def test_shape_and_dtype_count() -> None:
    found = differ({"x": torch.zeros(2)}, {"x": torch.zeros(2, 1)}, lambda row: f"at row {row}")["x"]
    assert (found.excess, str(found)) == (math.inf, "is (2, 1) float32 in place of (2,) float32 at row 0")
    assert excess({"x": torch.zeros(2)}, {"x": torch.zeros(2).double()}, "x") == math.inf


def test_worst_row_is_named_and_numbers_without_rows_are_compared() -> None:
    value = torch.zeros(3, 2)
    value[2, 0] = 1
    found = differ({"x": torch.zeros(3, 2), "mean": torch.tensor(1.0)}, {"x": value, "mean": torch.tensor(3.0)}, str)
    assert (found["x"].largest, found["x"].where) == (1.0, "2")
    assert (found["mean"].largest, found["mean"].where) == (2.0, "0")


@pytest.mark.parametrize(
    ("expected", "value", "differs"),
    [
        (0.5, 0.500009, False),
        (0.5, 0.500011, True),
        (100.0, 100.0009, False),
        (100.0, 100.0011, True),
        (math.nan, math.nan, False),
        (math.nan, 0.0, True),
        (0.0, math.nan, True),
        (math.inf, math.inf, False),
        (math.inf, 1.0, True),
    ],
)
def test_metrics(expected: float, value: float, differs: bool) -> None:
    assert metrics_differ(expected, value) is differs
