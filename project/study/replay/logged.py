"""What a replay logged, compared with what the run logged: bit for bit."""

from pathlib import Path

import numpy as np

from project.study.events import Array, Curves, read_curves
from project.study.replay.replaying import Replayed
from project.study.replay.step_record import LoggedComparison

_RATES = "lr-"  # the engine logs the learning rates at each step at which it logs others


def compare_logged(run: Path, replayed: Replayed) -> LoggedComparison:
    """Compare the values that a run logged with those of a replay of its steps.

    Values after the first state, such as those of a validation, count as well. The run may have logged a value more
    often at the same step: before it was resumed, or after the replay had ended. Means over an epoch that lack some of
    its batches are left out.

    Args:
        run: the run directory.
        replayed: the replay.
    """
    curves = [read_curves(directory) for directory in dict.fromkeys([*(each.run for each in replayed.stretches), run])]
    differing: list[tuple[str, int, float, float]] = []
    compared, only_run = 0, set[str]()
    for own_name in dict.fromkeys(name for each in curves for name in each):
        logged = _by_step(curves, own_name, replayed.first, replayed.last)
        again = _by_step([replayed.curves], own_name, replayed.first, replayed.last)
        if not again and any(replayed.first < step < replayed.last for step in logged):
            only_run.add(own_name)
        for step, values in again.items():
            if step in logged and (own_name, step) not in replayed.incomparable:
                compared += len(values)
                pair = _first_difference(logged[step], values)
                differing += [(own_name, step, *pair)] if pair else []
    differing.sort(key=lambda each: (each[1], each[0]))
    return LoggedComparison(compared, differing, sorted(only_run), replayed.first, replayed.last)


def proof_step(run: Path, start: int, last: int) -> int | None:
    """Return the step up to which a replay must go to meet a value that the run logged; None if there is none.

    Args:
        run: the run directory.
        start: the optimizer steps done before the replay.
        last: the last step of interest.
    """
    curves = read_curves(run)
    names = [name for name in curves if name.startswith(_RATES)] or [*curves]
    logged = sorted({int(step) for name in names for step in curves[name][0] if step > start})
    if logged and logged[0] <= last:
        return last
    return logged[0] if logged else None


def _by_step(curves: list[Curves], name: str, first: int, last: int) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for each in curves:
        if name in each:
            steps, values, _ = each[name]
            chosen = np.flatnonzero((steps >= first) & (steps <= last))
            for index in chosen.tolist():
                found.setdefault(int(steps[index]), []).append(float(values[index]))
    return found


def _first_difference(logged: list[float], again: list[float]) -> tuple[float, float] | None:
    """Return the first value that a run did not log in this order, after what it logged; None if there is none."""
    at = 0
    for value in again:
        found = next((index for index in range(at, len(logged)) if _bits(logged[index]) == _bits(value)), None)
        if found is None:
            return logged[min(at, len(logged) - 1)], value
        at = found + 1
    return None


def _bits(value: float) -> bytes | None:
    array: Array = np.float64(value).reshape(1)
    return None if value != value else array.tobytes()
