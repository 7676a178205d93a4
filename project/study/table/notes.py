"""Lines under a table: which runs its means do not contain, and why."""

from collections.abc import Iterable, Sequence

from project.study.columns import ABSENT, freeze
from project.study.grouping import COUNTED
from project.study.runs import RunRow

_MOST_NAMES = 10  # in a line


def describe_runs(rows: Sequence[RunRow], differing: Sequence[str]) -> list[str]:
    """Return lines on runs that do not count in means, that count with a reservation, or that could not be read.

    Args:
        rows: all runs.
        differing: config paths of the settings that differ between them.
    """
    notes = []
    for state in ("failed", "stopped", "pruned", "running"):
        if of_state := [row for row in rows if row.state == state]:
            notes.append(f"not in the means: {len(of_state)} {state}: {name_runs(of_state, state == 'failed')}")
    if others := [row for row in rows if row.state not in (*COUNTED, "failed", "stopped", "pruned", "running")]:
        notes.append(f"not in the means, of an unknown state: {name_runs(others)}")
    if unknown := [row for row in rows if row.state == "unknown"]:
        notes.append(f"without summary.json, and counted as if finished: {name_runs(unknown)}")
    if unread := [row for row in rows if not row.settings and row.problems]:
        notes.append(f"not in the table, because config.yaml could not be read: {name_runs(unread)}")
    if repeated := _find_repeated(rows, differing):
        notes.append(f"same settings as another run, and counted as a further one: {name_runs(repeated)}")
    problems = [f"{name}: {problem}" for name, row in zip(_names(rows), rows, strict=True) for problem in row.problems]
    left = len(problems) - _MOST_NAMES
    return [*notes, *problems] if left <= 1 else [*notes, *problems[:_MOST_NAMES], f"and {left} other problems"]


def name_runs(rows: Sequence[RunRow], with_reason: bool = False) -> str:
    """Return the names of runs in a line, and how many it leaves out."""
    names = _names(rows)
    if with_reason:
        names = [f"{name} ({row.reason})" if row.reason else name for name, row in zip(names, rows, strict=True)]
    left = len(names) - _MOST_NAMES
    return ", ".join(names) if left <= 1 else f"{', '.join(names[:_MOST_NAMES])} and {left} others"


def _names(rows: Sequence[RunRow]) -> list[str]:
    """Return the names of runs, with that of their sweep where two have the same."""
    names = [row.name for row in rows]
    return names if len({*names}) == len(names) else [f"{row.path.parent.name}/{row.name}" for row in rows]


def _find_repeated(rows: Iterable[RunRow], differing: Sequence[str]) -> list[RunRow]:
    seen: set[tuple[str, ...]] = set()
    repeated = []
    for row in rows:
        if row.settings and row.state in COUNTED:
            values = tuple(freeze(row.settings.get(key, ABSENT)) for key in differing)
            repeated += [row] if values in seen else []
            seen.add(values)
    return repeated
