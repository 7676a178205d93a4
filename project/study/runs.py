"""Runs as rows: what the files of a run directory say of it, read without torch."""

import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from project.core.errors import ConfigError, first_line, join_names
from project.core.installation import COMMAND
from project.study.files import MAX_YAML, list_directories, list_files, parse_json, read_file
from project.study.saved_config import read_settings

STATE = ".sweep"  # directory in ROOT/SWEEP of what a sweep itself keeps
DURING_TRAINING = re.compile(r"(?:epoch|step)_\d+")  # directories of evaluations

_MAX_SHOWN = 20  # names in a line
_PARTS = ("eval", "event", "progress")  # directories in a run


@dataclass
class Best:
    """The best checkpoint of a run.

    Args:
        monitor: the monitored value's name.
        mode: min or max.
        value: the value.
        step: number of optimizer steps after which it was measured.
        epoch: the epoch, from 1; None if only the curves say what was best.
        file: the checkpoint, relative to the run directory.
    """

    monitor: str
    mode: str
    value: float
    step: int
    epoch: int | None
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
    settings: dict[str, Any] = field(default_factory=dict, repr=False)  # some hundred
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


def metrics_of(row: RunRow) -> dict[str, float]:
    """Return the metrics of a run: `best NAME` of the monitored value, `last NAME` of each curve, and `STAGE/NAME`."""
    best = {f"best {row.best.monitor}": row.best.value} if row.best is not None else {}
    return best | {f"last {name}": value for name, value in row.last.items()} | row.results


def find_runs(root: Path) -> list[Path]:
    """Return the run directories in a directory, sorted; one if it is a run directory itself.

    Links are not followed, and what a directory with a dot contains, such as earlier runs in .old, is left out.

    Raises:
        ConfigError: the directory does not exist, or contains no run.
    """
    if not root.is_dir():
        raise ConfigError(f"{root} is not a directory" if root.exists() else f"{root} does not exist")
    found = sorted(_find(root))
    if not found:
        raise ConfigError(f"{root} contains no run\nrun: {COMMAND} fit --config FILE --root {root}")
    return found


def _find(root: Path) -> Iterator[Path]:
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        try:
            entries = {entry.name: entry for entry in os.scandir(directory)}
        except OSError:  # a directory of somebody else's
            continue
        if "config.yaml" in entries and entries.keys() & {"checkpoints", "event", "log.txt"}:
            yield directory
            continue
        for name, entry in entries.items():
            if not name.startswith(".") and entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))


def find_failed_starts(runs: Iterable[Path]) -> list[RunRow]:
    """Return the runs that failed before they had a directory, in the sweeps of other runs."""
    rows = []
    for sweep in sorted({path.parent for path in runs}):
        for record in list_files(sweep / STATE, ".json"):
            row = RunRow(sweep / record.stem)
            if not row.path.exists():
                _read_record(row)
                rows += [row] if row.state == "failed" else []
    return rows


def read_run(path: Path) -> RunRow:
    """Return what the files of a run directory say of it; what cannot be read is among its `problems`.

    Without summary.json, which earlier versions did not write, the curves say what was best and last.
    """
    row = RunRow(path)
    try:
        row.settings = read_settings(read_file(path / "config.yaml", MAX_YAML))
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        row.problems.append(_describe("config.yaml", error))
    row.problems += [f"{name} is a link, which is not followed" for name in _PARTS if (path / name).is_symlink()]
    summary = _read_json(row, "summary.json")
    row.state, row.reason = _text(summary.get("state")) or "unknown", _text(summary.get("reason"))
    row.seconds, row.steps = _number(summary.get("seconds")), _whole(summary.get("steps"))
    if row.state in ("running", "unknown"):
        _read_record(row)
    row.best = _read_best(row, summary.get("best"))
    row.last = _finite_or_nan(summary.get("values"))
    if "values" not in summary:
        _read_events(row, has_summary=bool(summary))
    for stage in _stages(path / "eval"):
        metrics = _numbers(_read_json(row, f"eval/{stage}/metrics.json"))
        row.results |= {f"{stage}/{name}": value for name, value in metrics.items()}
    return row


def _read_json(row: RunRow, name: str) -> dict[str, Any]:
    """Return the mapping in a file of a run; an empty one without the file."""
    try:
        value = parse_json(read_file(row.path / name))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        row.problems.append(_describe(name, error))
        return {}
    if not isinstance(value, dict):
        row.problems.append(f"{name} is not a mapping")
        return {}
    return value


def _read_record(row: RunRow) -> None:
    """Take over what a sweep recorded of a run that could not say so itself: it has just begun, or was killed."""
    try:
        record = parse_json(read_file(row.path.parent / STATE / f"{row.name}.json"))
        if record["state"] == "failed":
            row.state, row.reason = "failed", _text(record["reason"])
        elif row.state == "unknown":
            row.state = "running"  # it has just begun
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return  # no run of a sweep, or not failed


def _describe(name: str, error: Exception) -> str:
    """Return a line that names a file and what is wrong with it."""
    if isinstance(error, OSError):
        return f"{name} cannot be read: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return f"{name} is not a text file in UTF-8"
    text = first_line(error)
    return text if text.startswith(name) else f"{name}: {text}"


def _read_best(row: RunRow, best: object) -> Best | None:
    if not isinstance(best, dict):
        return None
    monitor, step, value = _text(best.get("monitor")), _whole(best.get("step")), _finite_or_nan(best).get("value")
    if monitor is None or value is None or step is None:
        row.problems.append("summary.json: `best` has no monitor, value or step")
        return None
    mode = _text(best.get("mode")) or str(row.settings.get("checkpoint.mode", "min"))
    file = _text(best.get("file"))
    return Best(monitor, mode, value, step, _whole(best.get("epoch")), file)


def _read_events(row: RunRow, has_summary: bool) -> None:
    """Add the last value of each curve, and without a summary the best one of the monitored curve."""
    from project.study.events import read_curves  # imports numpy

    curves = read_curves(row.path, row.problems)
    row.last = {name: float(values[-1]) for name, (_, values, _) in curves.items()}
    monitor, mode = _text(row.settings.get("checkpoint.monitor")), str(row.settings.get("checkpoint.mode", "min"))
    if has_summary or monitor is None or monitor not in curves:
        return
    steps, values, _ = curves[monitor]
    ranked = [-value if mode == "max" else value for value in values.tolist()]
    index = min(range(len(ranked)), key=lambda each: (math.isnan(ranked[each]), ranked[each]))
    if not math.isnan(ranked[index]):
        file = "checkpoints/best.ckpt" if (row.path / "checkpoints/best.ckpt").exists() else None
        row.best = Best(monitor, mode, float(values[index]), int(steps[index]), None, file)


def _stages(directory: Path) -> list[str]:
    """Return the names of the evaluations of a run, without those during its training."""
    return [path.name for path in list_directories(directory) if not DURING_TRAINING.fullmatch(path.name)]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None or not math.isfinite(number) else int(number)


def _numbers(values: object) -> dict[str, float]:
    pairs = values.items() if isinstance(values, dict) else ()
    return {str(name): float(value) for name, value in pairs if _number(value) is not None}


def _finite_or_nan(values: object) -> dict[str, float]:
    """Return the numbers of summary.json, in which null is one that was not finite."""
    pairs = values.items() if isinstance(values, dict) else ()
    return _numbers({name: math.nan if value is None else value for name, value in pairs})


class Runs(list[RunRow]):
    """Runs as a list of rows. `print` shows their number, names and metrics."""

    def __repr__(self) -> str:
        metrics = dict.fromkeys(name for row in self for name in metrics_of(row))
        runs = f"{len(self)} {'run' if len(self) == 1 else 'runs'}"
        return f"{runs}: {_shorten(row.name for row in self)}\nmetrics: {_shorten(metrics)}"

    def to_pandas(self) -> Any:
        """Return a pandas frame with a line for each run: its path, state, settings and metrics.

        Raises:
            ConfigError: pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise ConfigError("to_pandas needs the package pandas: pip install pandas") from error

        own = ("state", "reason", "seconds", "steps")
        return pandas.DataFrame(
            {"path": str(row.path)} | {name: getattr(row, name) for name in own} | row.settings | metrics_of(row)
            for row in self
        )


def _shorten(names: Iterable[str]) -> str:
    """Return names in one line: the first ones, and how many there are more."""
    names = [*names]
    rest = [f"and {len(names) - _MAX_SHOWN} more"] if len(names) > _MAX_SHOWN else []
    return join_names([*names[:_MAX_SHOWN], *rest])


def read_runs(root: Path) -> Runs:
    """Return the runs in a directory as rows."""
    return Runs(read_run(path) for path in find_runs(root))
