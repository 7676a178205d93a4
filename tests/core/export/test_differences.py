"""What counts as equal: floats up to rounding, integers except where two scores are tied, NaN only to itself."""

import math

import pytest
import torch
from torch import Tensor

from project.core.export.differences import differ, metrics_differ


def excess(expected: dict[str, Tensor], values: dict[str, Tensor], name: str) -> float:
    """Return the difference of an output as a multiple of what is allowed."""
    return differ(expected, values, len(expected[name]), str)[name].excess


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
    other = outputs["scores"].clone()
    if is_equal:
        other[1, value] += 2e-5  # in the file, it is the highest
    changed = {"scores": other, "label": torch.tensor([expected, value])}
    assert (excess(outputs, changed, "label") <= 1) is is_equal
    kept, changed = ({**each, "label": each["label"][:, None]} for each in (outputs, changed))
    assert (excess(kept, changed, "label") <= 1) is is_equal


def test_scores_of_which_integers_are_no_indices_excuse_nothing() -> None:
    """Such as weights that are almost uniform, and scores of the file of which it returns another index."""
    logits = torch.tensor([[0.0, 0.5, 1.0]])
    label, wrong, weights = torch.tensor([2]), torch.tensor([1]), torch.tensor([[0.3333, 0.33331, 0.33332]])
    outputs = {"logits": logits, "weights": weights, "label": label}
    assert excess(outputs, outputs | {"label": wrong}, "label") == math.inf
    tied = {"scores": torch.tensor([[1.0, 1.00001]]), "label": torch.tensor([1])}
    assert excess(tied, tied | {"label": torch.tensor([0])}, "label") == math.inf


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


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1, 1)])
def test_each_channel_has_a_scale_of_its_own(shape: tuple[int, ...]) -> None:
    """Such as the columns of a table with different units."""
    expected = torch.tensor([[1e6, 0.5], [2e6, 0.1]]).view(shape)
    for change, is_equal in (([100.0, 0.0], True), ([300.0, 0.0], False), ([0.0, 2e-4], False)):
        value = expected + torch.tensor(change).view(1, *shape[1:])
        assert (excess({"x": expected}, {"x": value}, "x") <= 1) is is_equal


@pytest.mark.parametrize("value", [2**53, 1 + 2j], ids=["large integer", "complex"])
def test_no_digit_is_lost(value: complex) -> None:
    one = torch.tensor([value])
    two = one + (1j if one.is_complex() else 1)
    assert excess({"x": one}, {"x": one.clone()}, "x") == 0
    assert excess({"x": one}, {"x": two}, "x") > 1


def test_shape_and_dtype_count() -> None:
    found = differ({"x": torch.zeros(2)}, {"x": torch.zeros(2, 1)}, 2, lambda row: f"at row {row}")["x"]
    assert (found.excess, found.problem) == (math.inf, "is (2, 1) float32 in place of (2,) float32 at row None")
    assert excess({"x": torch.zeros(2)}, {"x": torch.zeros(2).double()}, "x") == math.inf


def test_worst_row_is_named_and_outputs_without_rows_are_compared() -> None:
    value = torch.zeros(3, 2)
    value[2, 0] = 1
    expected = {"x": torch.zeros(3, 2), "mean": torch.tensor(1.0), "wide": torch.zeros(9)}
    found = differ(expected, {"x": value, "mean": torch.tensor(3.0), "wide": torch.arange(9.0)}, 3, str)
    assert {name: (each.largest, each.problem) for name, each in found.items()} == {
        "x": (1.0, "differs by 1 (allowed: 0.0001) 2"),
        "mean": (2.0, "differs by 2 (allowed: 0.0001) None"),
        "wide": (8.0, "differs by 8 (allowed: 0.0001) None"),
    }


def test_largest_difference_is_that_of_all_batches() -> None:
    """The worst one, which is reported as a mistake, may be smaller: more is allowed where values are larger."""
    batches = [([100.0, 0.0], [100.0, 5e-3]), ([1.0, 0.0], [1.0, 1e-3])]
    one, two = (differ({"x": torch.tensor(a)}, {"x": torch.tensor(b)}, 2, str)["x"] for a, b in batches)
    for merged in (one.merge(two), two.merge(one)):
        assert merged.largest == pytest.approx(5e-3)
        assert merged.problem == "differs by 0.001 (allowed: 0.0001) 1"


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
