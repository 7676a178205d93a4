"""Curves as a page holds them: rounded, and no more points than can be seen."""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from project.study.events import Curves

MAX_POINTS = 1000  # of a curve
_DIGITS = 6  # of a value; TensorBoard's files have 7


def downsample(values: npt.NDArray[Any], limit: int = MAX_POINTS) -> npt.NDArray[np.intp]:
    """Return the indices of at most `limit` values: the lowest and highest of each stretch, so that no peak is lost.

    A stretch with values that are not finite keeps one of them, too, and the first and last value are kept.
    """
    if len(values) <= limit:
        return np.arange(len(values))
    finite = np.isfinite(values)
    per_stretch = 2 if finite.all() else 3
    edges = np.linspace(0, len(values), (limit - 2) // per_stretch + 1).astype(int)
    lowest, highest = np.where(finite, values, np.inf), np.where(finite, values, -np.inf)
    kept = {0, len(values) - 1}
    for start, end in pairwise(edges):
        stretch = slice(start, end)
        kept |= {start + int(lowest[stretch].argmin()), start + int(highest[stretch].argmax())}
        if not finite[stretch].all():
            kept.add(start + int(finite[stretch].argmin()))
    return np.array(sorted(kept))


def round_numbers(values: Iterable[float], digits: int = _DIGITS) -> list[int | float | None]:
    """Return numbers for JSON, with at most so many digits; None for those that are not finite."""
    return [_round(value, digits) for value in values]


def drop_copies(curves: Curves) -> Curves:
    """Return curves without those of sums that equal a curve of their own split: `val/sum` of a single loss."""
    kept, seen = set[str](), set[tuple[str, bytes]]()
    for name in sorted(curves, key=lambda name: name.endswith("/sum")):
        values = (name.partition("/")[0], curves[name][1].tobytes())
        if not (name.endswith("/sum") and values in seen):
            kept.add(name)
            seen.add(values)
    return {name: curves[name] for name in curves if name in kept}


def pack_curves(curves: Curves) -> dict[str, Any]:
    """Return curves for the data of a page.

    Returns:
        `axes`, lists of steps or seconds since the first point, and `curves` by name: the numbers of their `step` and
        `time` axes, and their values `y`. Curves that were logged together share axes.
    """
    first = min((float(times[0]) for _, _, times in curves.values() if len(times)), default=0.0)
    axes: dict[tuple[int | float | None, ...], int] = {}
    packed = {}
    for name, (steps, values, times) in curves.items():
        order = np.argsort(steps, kind="stable")  # a module of the user's may log at any step
        kept = order[downsample(values[order])]
        seconds = [round(float(time) - first, 1) for time in times[kept]]
        packed[name] = {
            "step": axes.setdefault(tuple(steps[kept].tolist()), len(axes)),
            "time": axes.setdefault(tuple(round_numbers(seconds, 9)), len(axes)),
            "y": round_numbers(values[kept].tolist()),
        }
    return {"axes": [list(axis) for axis in axes], "curves": packed}


def _round(value: float, digits: int) -> int | float | None:
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) and abs(value) < 1e15 else float(f"{value:.{digits}g}")
