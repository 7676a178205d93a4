"""Runs as rows: what the files of a run directory say of it, read without torch."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from project.core.config.yaml_files import flatten, parse_yaml
from project.core.errors import ConfigError


@dataclass
class Best:
    """The best checkpoint of a run.

    Args:
        monitor: the monitored value's name.
        mode: min or max.
        value: the value.
        step: number of optimizer steps after which it was measured.
        epoch: the epoch, from 1.
        file: the checkpoint, relative to the run directory.
    """

    monitor: str
    mode: str
    value: float
    step: int
    epoch: int
    file: str | None


@dataclass
class RunRow:
    """A run, as its files describe it.

    Args:
        path: the run directory.
        state: running, finished, stopped, failed or pruned; unknown without summary.json.
        reason: why it ended.
        settings: the values of config.yaml by config path.
        best: the best checkpoint; None if there is none.
        last: the last value of each curve.
        results: metrics of evaluations by `STAGE/NAME`, such as `test/accuracy`.
        seconds: seconds of training.
        steps: number of optimizer steps done.
        problems: files that could not be read, and why.
    """

    path: Path
    state: str = "unknown"
    reason: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    best: Best | None = None
    last: dict[str, float] = field(default_factory=dict)
    results: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None
    steps: int | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return self.path.name


def find_runs(root: Path) -> list[Path]:
    """Return the run directories in a directory, sorted; one if it is a run directory itself.

    Raises:
        ConfigError: the directory does not exist.
    """
    if not root.is_dir():
        raise ConfigError(f"{root} is not a directory")
    return sorted(_find(root))


def _find(directory: Path) -> Iterator[Path]:
    entries = {entry.name: entry for entry in os.scandir(directory)}
    if "config.yaml" in entries and entries.keys() & {"checkpoints", "event", "log.txt"}:
        yield directory
        return
    for name, entry in entries.items():
        if not name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from _find(Path(entry.path))


def read_run(path: Path) -> RunRow:
    """Return what the files of a run directory say of it."""
    row = RunRow(path)
    row.settings = dict(flatten(parse_yaml((path / "config.yaml").read_text(encoding="utf-8"), "config.yaml")))
    summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
    row.state, row.reason = summary["state"], summary["reason"]
    row.seconds, row.steps = summary["seconds"], summary["steps"]
    if best := summary["best"]:
        row.best = Best(**best, mode=str(row.settings.get("checkpoint.mode", "min")))
    for file in path.glob("eval/*/metrics.json"):
        row.results |= {f"{file.parent.name}/{name}": value for name, value in json.loads(file.read_text()).items()}
    return row


class Runs(list[RunRow]):
    """Runs as a list of rows."""

    def to_pandas(self) -> Any:
        """Return a pandas frame with a line for each run."""
        raise NotImplementedError


def read_runs(root: Path) -> Runs:
    """Return the runs in a directory as rows."""
    return Runs(read_run(path) for path in find_runs(root))
