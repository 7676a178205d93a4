"""Records are compared at the steps that both runs have."""

import numpy as np
import torch

from project.study.bisect.recorded import Comparison, Difference, compare_curves
from project.study.events import Curves

NAN = float("nan")


def curve(points: dict[int, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array([*points], np.int64), np.array([*points.values()]), np.zeros(len(points))


def compare(one: Curves, two: Curves, first: int = 0, last: int | None = None) -> Comparison:
    compare_curves(one, two, comparison := Comparison(), first, last)
    return comparison


def test_first_differing_values_of_curves_are_found() -> None:
    """Runs that log at other steps are compared at those that both have."""
    one = {"a": curve({2: 1.0, 4: 2.0, 6: 3.0}), "b": curve({4: 0.0}), "c": curve({4: NAN}), "only": curve({1: 1.0})}
    two = {"a": curve({3: 9.0, 4: 2.0 + 1e-15, 6: 4.0}), "b": curve({4: -0.0}), "c": curve({4: NAN})}
    found = compare(one, two)
    assert found.differences == [Difference(4, "curve", ["a", "b"])]
    assert (found.values, found.curves) == (4, 3)
    assert found.only == [["only"], []]


def test_a_value_that_was_logged_twice_counts_once() -> None:
    one = {"a": (np.array([1, 1]), np.array([5.0, 1.0]), np.zeros(2))}
    assert compare(one, {"a": curve({1: 1.0})}).differences == []


def test_curves_are_compared_within_limits() -> None:
    one, two = {"a": curve({1: 1.0, 2: 2.0, 3: 3.0})}, {"a": curve({1: 0.0, 2: 2.0, 3: 0.0})}
    found = compare(one, two, first=2, last=2)
    assert (found.differences, found.values) == ([], 1)


def test_equal_at_the_end_is_not_equal() -> None:
    """Differences vanish again, such as those of running means: an equal checkpoint proves nothing of earlier steps."""
    comparison = Comparison()
    for step, value in ((10, 1.0), (20, 2.0), (30, 1.0)):
        comparison.add_states(step, {"weight a": torch.tensor(1.0)}, {"weight a": torch.tensor(value)})
    assert comparison.first == Difference(20, "checkpoint", ["weight a"])
    assert comparison.checkpoints == {10: True, 20: False, 30: True}
    assert comparison.equal_before(20) == 10
    assert comparison.equal_before(10) == 0


def test_digests_name_what_curves_and_checkpoints_see_later() -> None:
    """What a checkpoint contains after step 24, the next step begins with."""
    digest, curves = Difference(25, "digest", ["parameter a"]), Difference(24, "curve", ["val/loss"])
    checkpoint = Difference(24, "checkpoint", ["weight a"])
    assert Comparison([checkpoint, curves, digest]).first is digest
    assert Comparison([checkpoint, curves]).first is curves
    assert Comparison([checkpoint, Difference(26, "digest", ["parameter a"])]).first is checkpoint
