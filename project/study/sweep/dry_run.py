"""The table of the runs of a sweep that --dry_run prints."""

from collections.abc import Sequence

from project.study.columns import short_names
from project.study.sweep.definition import Definition
from project.study.sweep.directory import SweepDirectory
from project.study.sweep.plan import Trial, runs_of, shown_value


def describe_runs(definition: Definition, trials: Sequence[Trial], directory: SweepDirectory | None) -> str:
    """Return a table with a line for each run, and a line with their number.

    Args:
        definition: the sweep.
        trials: the trials whose settings are decided.
        directory: the directory of the sweep, which knows the state of runs; None if it was not begun.
    """
    runs = [run for trial in trials for run in runs_of(trial, definition)]
    columns = {"name": [run.name for run in runs]}
    for path, heading in short_names(definition.paths).items():
        columns[heading] = [shown_value(run.trial.settings[path]) if path in run.trial.settings else "" for run in runs]
    if definition.seeds:
        columns["seed"] = [str(run.seed) for run in runs]
    if definition.folds:
        columns["fold"] = [str(run.fold) for run in runs]
    if directory is not None:
        columns["state"] = [directory.state(run) for run in runs]
    return _table(columns) * bool(runs) + f"{_count(definition, len(trials))}\n"


def _table(columns: dict[str, list[str]]) -> str:
    widths = [max(map(len, [heading, *cells])) for heading, cells in columns.items()]
    rows = [[*columns], *map(list, zip(*columns.values(), strict=True))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", ""])


def _count(definition: Definition, known: int) -> str:
    """Return a text such as `6 runs: 3 trials, 2 seeds`."""
    trials = definition.trials if definition.space else known
    numbers = {"trial": trials, "seed": len(definition.seeds), "fold": definition.folds}
    count = trials * max(len(definition.seeds), 1) * max(definition.folds, 1)
    parts = ", ".join(f"{number} {name}{'s' * (number != 1)}" for name, number in numbers.items() if number)
    drawn = f"; {trials - known} trials are not drawn yet" if known < trials else ""
    return f"{count} run{'s' * (count != 1)}: {parts}{drawn}"
