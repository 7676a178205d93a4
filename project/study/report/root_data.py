"""What the scripts of the page of many runs read: settings, metrics and thinned curves."""

import math
from typing import Any

import numpy as np

from project.study.columns import ABSENT, is_number
from project.study.events import Array, Curves
from project.study.report.downsampling import drop_copies, round_numbers
from project.study.report.runs_view import RunsView

_MAX_POINTS, _MIN_POINTS = 200, 20  # of a curve
_ALL_POINTS = 280_000  # of all curves: a page of 100 runs is below 2 MB
_DIGITS = 5


def root_data(view: RunsView) -> dict[str, Any]:
    """Return what the scripts read."""
    settings = [{"name": view.names[key], "key": key, "values": _column(view, key)} for key in view.keys]
    metrics = [
        {
            "name": name,
            "key": name.removeprefix("best "),
            "values": round_numbers([each.get(name, math.nan) for each in view.values], _DIGITS),
        }
        for name in view.metrics
    ]
    axes, curves = _pack_curves(view.curves)
    return {
        "kind": "root",
        "runs": [
            {"name": view.name(row), "state": row.state, "group": view.group_of.get(row.path, -1)} for row in view.rows
        ],
        "groups": view.group_names,
        "settings": settings,
        "repetitions": [view.names[key] for key in view.repetitions],
        "metrics": metrics,
        "modes": {name: view.mode(name) for name in view.metrics},
        "target": view.target,
        "important": [view.names[each.key] for each in view.importance],
        "axes": axes,
        "curves": curves,
    }


def _pack_curves(all_curves: list[Curves]) -> tuple[list[list[int]], dict[str, list[Any]]]:
    """Return the x axes, which most curves share, and by name for each run the index of its axis and its values."""
    names = dict.fromkeys(name for curves in all_curves for name in drop_copies(curves))
    most = max(_MIN_POINTS, min(_MAX_POINTS, _ALL_POINTS // max(1, len(all_curves) * len(names))))
    axes: dict[tuple[int, ...], int] = {}
    packed: dict[str, list[Any]] = {name: [None] * len(all_curves) for name in names}
    for run, curves in enumerate(all_curves):
        for name in names:
            if name in curves:
                steps, values = average(*curves[name][:2], most)
                axis = axes.setdefault(tuple(steps.tolist()), len(axes))
                packed[name][run] = [axis, round_numbers(values.tolist(), _DIGITS)]
    return [list(axis) for axis in axes], packed


def average(steps: Array, values: Array, most: int) -> tuple[Array, Array]:
    """Return at most so many points in the order of steps: means of stretches of equal length, at their last steps."""
    if len(steps) > 1 and not (np.diff(steps) >= 0).all():  # a module of the user's may log at any step
        order = np.argsort(steps, kind="stable")
        steps, values = steps[order], values[order]
    if len(steps) <= most:
        return steps, values
    edges = np.linspace(0, len(steps), most + 1).astype(int)
    with np.errstate(invalid="ignore", over="ignore"):
        means = np.add.reduceat(values, edges[:-1]) / np.diff(edges)
    return steps[edges[1:] - 1], means


def _column(view: RunsView, key: str) -> list[Any]:
    return [_plain(row.settings.get(key, ABSENT), view.texts[key][row.path]) for row in view.rows]


def _plain(value: Any, text: str) -> float | int | str | None:
    if is_number(value):
        number: float | int = value
        return number
    return None if value is ABSENT else text
