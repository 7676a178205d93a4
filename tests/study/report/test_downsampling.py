"""Tests of curves as a page holds them."""

import json
import math

import numpy as np
import pytest

from project.study.report.downsampling import downsample, drop_copies, pack_curves, round_numbers


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 12_345])
def test_downsample_keeps_lowest_highest_first_and_last(size: int) -> None:
    """Every peak of a single value is among at most 1000 points."""
    values = np.random.default_rng(size).normal(size=size)
    if size > 100:
        values[[77, 55]] = 1e3, -1e3
    kept = downsample(values, 1000)
    assert len(kept) <= 1000
    assert sorted(set(kept.tolist())) == kept.tolist()
    if size <= 1000:
        assert kept.tolist() == [*range(size)]
    else:
        assert {0, 55, 77, size - 1} <= set(kept.tolist())


def test_downsample_keeps_values_that_are_not_finite() -> None:
    """A NaN among many values is still an interruption of the curve, and hides no peak."""
    values = np.zeros(50_000)
    values[[123, 30_000]] = np.nan, np.inf
    values[[124, 125, 30_001]] = 5, -7, -5
    kept = downsample(values, 1000)
    assert len(kept) <= 1000
    assert {123, 124, 125, 30_000, 30_001} <= set(kept.tolist())


def test_round_numbers() -> None:
    assert round_numbers([0.12345678, 3.0, 1e20, math.nan, -math.inf]) == [0.123457, 3, 1e20, None, None]


def test_drop_copies_drops_only_sums_that_equal_a_curve() -> None:
    steps = np.arange(3)
    one, other = np.array([1.0, 2, np.nan]), np.array([1.0, 2, 3])
    names = {"train/sum": one, "train/l1": one, "val/l1": one, "val/sum": other, "val/l2": one}
    curves = {name: (steps, values, steps * 1.0) for name, values in names.items()}
    assert [*drop_copies(curves)] == ["train/l1", "val/l1", "val/sum", "val/l2"]


def test_pack_curves_shares_axes_and_sorts_by_step() -> None:
    steps, values = np.array([2, 1, 3]), np.array([2.0, 1.0, np.nan])
    packed = pack_curves({"a": (steps, values, 100.0 + steps), "b": (steps, values, 100.01 + steps)})
    assert packed["curves"]["a"]["y"] == [1, 2, None]
    assert packed["axes"][packed["curves"]["a"]["step"]] == [1, 2, 3]
    assert packed["curves"]["a"] == packed["curves"]["b"]
    json.dumps(packed, allow_nan=False)
