"""Shares of the variance that settings explain."""

import math
import random

import numpy as np
import pytest

from project.study.report.importance import MIN_RUNS, rank, rank_settings


def test_share_and_correlation_have_the_values_of_their_formulas() -> None:
    """Ranks 1 to 8 in two halves: within 2 x 5, total 42, so 1 - (10 / 6) / (42 / 7)."""
    settings = [{"a": n < 4, "b": n, "c": 1, "d": n % 2} for n in range(8)]
    scores = [float(n**3) for n in range(8)]
    found = {each.key: each for each in rank_settings(settings, ["a", "b", "c", "d"], scores)}
    assert found["a"].share == pytest.approx(1 - (10 / 6) / (42 / 7))
    assert found["a"].correlation is None
    assert found["b"].correlation == pytest.approx(1)
    assert "c" not in found
    # Halves of even and odd ranks explain less than chance would.
    assert found["d"].share == 0


def test_the_largest_share_is_first() -> None:
    settings = [{"a": n % 2, "b": n // 4, "c": n % 4} for n in range(16)]
    scores = [n // 4 + 0.3 * (n % 2) + 0.01 * n for n in range(16)]
    assert next(iter(rank_settings(settings, ["a", "b", "c"], scores))).key == "b"


@pytest.mark.parametrize("levels", [2, 5, 8, 1000])
def test_a_setting_without_effect_has_a_share_around_0(levels: int) -> None:
    """Adjusted for chance, which alone explains more the more values a setting has; numbers with many form groups."""
    draw = random.Random(levels)
    shares = []
    for _ in range(60):
        settings = [{"a": draw.randrange(levels) / levels} for _ in range(24)]
        shares += [each.share for each in rank_settings(settings, ["a"], [draw.random() for _ in range(24)])]
    assert np.mean(shares) < 0.08
    assert np.median(shares) < 0.03


@pytest.mark.parametrize(("count", "levels"), [(8, 2), (9, 3), (40, 4)])
def test_a_setting_without_effect_exceeds_the_share_of_chance_in_one_of_20_cases(count: int, levels: int) -> None:
    """With few runs, chance alone explains much: of 9 runs with 3 values, more than half of the variance."""
    draw = random.Random(0)
    found = [
        rank_settings([{"a": n % levels} for n in range(count)], ["a"], [draw.random() for _ in range(count)])[0]
        for _ in range(400)
    ]
    exceeded = np.mean([each.share > each.chance for each in found])
    assert 0.01 * (count > 8) <= exceeded < 0.08  # of two halves of 8 runs, several orders have equal shares
    assert (np.mean([each.chance for each in found]) > 0.35) == (count < 10)


def test_many_values_of_a_number_form_groups_and_others_too_many_are_left_out() -> None:
    settings = [{"lr": 10 ** (n / 10), "path": f"/data/{n}", "maybe": None if n % 3 else n / 7} for n in range(30)]
    found = {
        each.key: each for each in rank_settings(settings, ["lr", "path", "maybe"], [-abs(n - 15.0) for n in range(30)])
    }
    assert found.keys() == {"lr", "maybe"}
    assert found["lr"].share > 0.6
    assert found["maybe"].correlation is None


def test_too_few_scores_say_nothing() -> None:
    """Runs without a finite score do not count."""
    settings = [{"a": n % 2} for n in range(MIN_RUNS + 2)]
    scores = [*map(float, range(MIN_RUNS - 1)), None, math.nan, math.inf]
    assert rank_settings(settings, ["a"], scores) == []
    assert rank_settings([], ["a"], []) == []


def test_equal_scores_and_odd_values_do_no_harm() -> None:
    settings = [
        {"a": [1, {"b": n % 2}], "c": math.nan if n % 2 else 1e308, "d": True if n % 2 else 1} for n in range(10)
    ]
    found = {each.key: each for each in rank_settings(settings, ["a", "c", "d"], [1.0] * 10)}
    assert {key: (each.share, each.correlation) for key, each in found.items()} == dict.fromkeys("acd", (0, None))


def test_equal_values_share_their_mean_rank() -> None:
    assert rank(np.array([5.0, 1.0, 5.0, 7.0])).tolist() == [2.5, 1, 2.5, 4]
