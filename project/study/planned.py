"""The runs of a sweep that are missing in a table or report, since they have not started. Read without torch."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from project.core.config.yaml_files import parse_yaml
from project.core.errors import ConfigError
from project.study.files import MAX_YAML, list_files, parse_json, read_file
from project.study.runs import STATE, RunRow

_FILE = "sweep.yaml"


def describe_unstarted(rows: Iterable[RunRow]) -> list[str]:
    """Return a line for each sweep of these runs that has further runs without a directory, such as `4 of 9 runs`."""
    lines = []
    for sweep in sorted({row.path.absolute().parent for row in rows}):
        if not (sweep / STATE).is_dir():
            continue
        try:
            planned, started = _count(sweep)
        except FileNotFoundError:
            continue  # no sweep, or not yet one
        except (OSError, ValueError, RecursionError, ConfigError, KeyError, TypeError, AttributeError):
            lines.append(f"{sweep.name}: runs that have not started are not counted: {_FILE} is damaged")
            continue
        if started < planned:
            lines.append(f"{started} of {planned} runs of the sweep {sweep.name}: the others have no run directory")
    return lines


def count_planned(sweep: Mapping[str, Any]) -> tuple[int, int]:
    """Return the numbers of trials and of runs for each trial.

    Args:
        sweep: what SWEEP.yaml contains.
    """
    grid, seeds = sweep.get("grid") or {}, sweep.get("seeds") or 1
    trials = sweep.get("trials") or math.prod(map(len, grid.values()))
    return int(trials), (seeds if isinstance(seeds, int) else len(seeds)) * (sweep.get("folds") or 1)


def _count(directory: Path) -> tuple[int, int]:
    """Return how many runs a sweep has, without those that a pruner leaves out, and how many have started."""
    sweep = parse_yaml(read_file(directory / _FILE, MAX_YAML), _FILE)["sweep"]
    records = {file.stem: parse_json(read_file(file)).get("state") for file in list_files(directory / STATE, ".json")}
    trials, each = count_planned(sweep)
    pruned = sum(state == "pruned" for state in records.values())  # the first run of a trial, whose others do not start
    started = sum(state == "failed" or (directory / name).is_dir() for name, state in records.items())
    return trials * each - pruned * (each - 1), started
