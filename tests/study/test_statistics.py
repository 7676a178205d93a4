"""Means and intervals are those of statistics books."""

import math

import numpy as np
import pytest

from project.study.statistics import Interval, Summary, bootstrap_interval, mean_interval, student_quantile, summarize


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [  # tables of Student's t distribution, to 3 decimals
        *((0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 3, 3.182), (0.975, 4, 2.776), (0.975, 9, 2.262)),
        *((0.975, 10, 2.228), (0.975, 29, 2.045), (0.975, 30, 2.042), (0.975, 100, 1.984), (0.975, 1000, 1.962)),
        *((0.995, 1, 63.657), (0.995, 2, 9.925), (0.995, 5, 4.032), (0.95, 2, 2.920), (0.95, 7, 1.895)),
        (0.975, 50_001, 1.960),
    ],
)
def test_quantiles_are_those_of_tables(probability: float, degrees: int, expected: float) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(expected, abs=0.0006)


@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.9999])
def test_quantiles_of_one_and_two_degrees_are_exact(probability: float) -> None:
    """Their distributions have closed forms."""
    assert student_quantile(probability, 1) == pytest.approx(math.tan(math.pi * (probability - 0.5)), rel=1e-9)
    x = 2 * probability - 1
    assert student_quantile(probability, 2) == pytest.approx(x * math.sqrt(2 / (1 - x * x)), rel=1e-9)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 3.0], Summary(2.0, 1.0, 3)),
        ([2.0, 2.0], Summary(2.0, 0.0, 2)),
        ([0.9] * 500, Summary(0.9, 0.0, 500)),
        ([5.0], Summary(5.0, math.nan, 1)),
        ([], Summary(math.nan, math.nan, 0)),
        ([1.0, math.nan], Summary(math.nan, math.nan, 2)),
        ([1.0, math.inf], Summary(math.inf, math.nan, 2)),
    ],
)
def test_summaries_hide_no_value(values: list[float], expected: Summary) -> None:
    """The deviation is that of a sample, and a run that diverged is not left out."""
    summary = summarize(values)
    np.testing.assert_equal((summary.mean, summary.std, summary.n), (expected.mean, expected.std, expected.n))


def test_the_interval_of_differences_is_students() -> None:
    interval = mean_interval([1.0, 2.0, 4.0])
    half = 4.3026527 * math.sqrt(7 / 3) / math.sqrt(3)
    assert [interval.mean, interval.low, interval.high] == pytest.approx([7 / 3, 7 / 3 - half, 7 / 3 + half])
    assert interval.n == 3
    assert math.isnan(mean_interval([1.0]).low)
    assert mean_interval([]).n == 0


def test_intervals_contain_the_mean_as_often_as_they_say() -> None:
    """Of 2,000 samples of three values, 95 % have intervals that contain the true mean."""
    samples = np.random.default_rng(0).normal(size=(2000, 3))
    half = student_quantile(0.975, 2) * samples.std(axis=1, ddof=1) / 3**0.5
    assert np.mean(np.abs(samples.mean(axis=1)) < half) == pytest.approx(0.95, abs=0.015)
    interval = mean_interval(samples[0].tolist())
    assert (interval.high - interval.low) / 2 == pytest.approx(half[0])


def test_the_bootstrap_of_many_rows_is_near_the_normal_interval() -> None:
    """Its draws are the same each time."""
    values = np.random.default_rng(1).normal(1.0, 2.0, 400)
    interval, normal = bootstrap_interval(values.tolist()), 1.96 * values.std(ddof=1) / 20
    assert interval == bootstrap_interval(values.tolist())
    assert interval.mean == pytest.approx(values.mean())
    assert (interval.high - interval.low) / 2 == pytest.approx(normal, rel=0.1)
    assert bootstrap_interval([3.0]).n == 1
    assert isinstance(bootstrap_interval([]), Interval)
