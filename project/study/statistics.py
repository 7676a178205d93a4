"""Means, intervals of differences, and quantiles of Student's t distribution, by numpy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

_CONFIDENCE = 0.95
_DRAWS = 2000  # of a bootstrap


@dataclass(frozen=True)
class Summary:
    """Mean of values.

    Args:
        mean: the mean; NaN of no values.
        std: the standard deviation of the sample (divided by n - 1); NaN below two values.
        n: number of values.
    """

    mean: float
    std: float
    n: int


@dataclass(frozen=True)
class Interval:
    """Mean of differences, and the interval that contains the true one with a probability of 95 %.

    Args:
        mean: the mean; NaN of no differences.
        low: start of the interval; NaN below two differences.
        high: end of the interval; NaN below two differences.
        n: number of differences.
    """

    mean: float
    low: float
    high: float
    n: int


def summarize(values: Sequence[float]) -> Summary:
    """Return mean, standard deviation and number of values; the mean of a value that is not finite is not, either."""
    array = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        if len(array) > 1 and (array == array[0]).all():  # without the rounding of a sum
            return Summary(float(array[0]), 0.0, len(array))
        mean = float(array.mean()) if len(array) else math.nan
        return Summary(mean, float(array.std(ddof=1)) if len(array) > 1 else math.nan, len(array))


def mean_interval(differences: Sequence[float]) -> Interval:
    """Return the mean of paired differences with Student's 95 % interval.

    It is right for few pairs, such as three seeds, where a percentile bootstrap is much too narrow.
    """
    mean, std, n = (summary := summarize(differences)).mean, summary.std, summary.n
    half = student_quantile((1 + _CONFIDENCE) / 2, n - 1) * std / math.sqrt(n) if n > 1 else math.nan
    return Interval(mean, mean - half, mean + half, n)


@cache
def student_quantile(probability: float, degrees: int) -> float:
    """Return the value that Student's t distribution does not exceed with a probability.

    Args:
        probability: the probability, over 0.5.
        degrees: degrees of freedom, from 1.
    """
    low, high = 0.0, math.pi / 2  # the angle atan(t / sqrt(degrees))
    while (middle := (low + high) / 2) not in (low, high):
        if _coverage(middle, degrees) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(middle)


def _coverage(angle: float, degrees: int) -> float:
    """Return the probability of values between -t and t, an exact sum: Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    cosine, sine, odd = math.cos(angle), math.sin(angle), degrees % 2
    numbers = np.arange(1, (degrees - 1 - odd) // 2 + 1)
    ratios = (2 * numbers - 1 + odd) / (2 * numbers + odd) * cosine**2
    total = sine * float(1 + np.cumprod(ratios).sum())
    if odd:
        return 2 / math.pi * (angle + (cosine * total if degrees > 1 else 0.0))
    return total


def bootstrap_interval(differences: Sequence[float]) -> Interval:
    """Return the mean of many paired differences, such as the rows of two samples.csv, with a 95 % interval.

    The draws have a fixed seed: the same rows have the same interval. Use `mean_interval` for runs, which are few.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return Interval(summarize(differences).mean, math.nan, math.nan, len(values))
    generator = np.random.default_rng(0)
    means = [values[generator.integers(0, len(values), len(values))].mean() for _ in range(_DRAWS)]
    low, high = np.quantile(means, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Interval(float(values.mean()), float(low), float(high), len(values))
