"""Values of a table as texts that people read: rounded to what their spread leaves certain."""

import json
import math
from collections.abc import Sequence
from typing import Any

from project.core.errors import without_commands
from project.study.columns import ABSENT
from project.study.statistics import Interval, Summary

_EMPTY = "—"
_FEWEST_DIGITS, _ALL_DIGITS = 4, 17
_MOST_DECIMALS = 8


def show_settings(values: Sequence[Any]) -> list[str]:
    """Return the texts of the values of a setting: numbers with as few digits, from 4, as keep them apart."""
    numbers = {value for value in values if isinstance(value, float)}
    digits = next(
        count
        for count in range(_FEWEST_DIGITS, _ALL_DIGITS + 1)
        if count == _ALL_DIGITS or len({f"{number:.{count}g}" for number in numbers}) == len(numbers)
    )
    return [f"{value:.{digits}g}" if isinstance(value, float) else show_setting(value) for value in values]


def show_setting(value: Any) -> str:
    """Return a setting as a text in one line; numbers have all their digits."""
    if value is ABSENT:
        return _EMPTY
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return without_commands(text)


def show_summary(summary: Summary, num_runs: int) -> str:
    """Return a mean and its standard deviation; and the number of values, unless it is that of the runs."""
    if summary.n == 0:
        return _EMPTY
    text = f"{summary.mean:.4g}"
    if summary.n > 1:
        decimals = _decimals(summary.std)
        is_plain = decimals is not None and math.isfinite(summary.mean)
        text = (
            f"{summary.mean:.{decimals}f} ± {summary.std:.{decimals}f}"
            if is_plain
            else f"{summary.mean:.4g} ± {summary.std:.2g}"
        )
    return text if summary.n == num_runs else f"{text} (n {summary.n})"


def show_interval(interval: Interval | None, num_runs: int) -> str:
    """Return a mean difference and its interval; and the number of pairs, unless it is that of the runs."""
    if interval is None:
        return ""
    if interval.n == 0:
        return _EMPTY
    decimals = _decimals((interval.high - interval.low) / 2) if interval.n > 1 else None
    form = "+.3g" if decimals is None else f"+.{decimals}f"
    text = f"{interval.mean:{form}}"
    if interval.n > 1:
        text += f" [{interval.low:{form}}, {interval.high:{form}}]"
    return text if interval.n == num_runs else f"{text} (n {interval.n})"


def _decimals(spread: float) -> int | None:
    """Return the decimals with which a number with two significant digits is written; None for very small ones."""
    if not math.isfinite(spread) or spread <= 0:
        return None  # the mean has four digits
    decimals = max(0, 1 - math.floor(math.log10(spread)))
    return decimals if decimals <= _MOST_DECIMALS else None
