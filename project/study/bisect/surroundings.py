"""What two runs were computed from, apart from their states: settings, code, packages, machine and data."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project.core.errors import ConfigError, shorten
from project.core.run.git import GitState, read_git
from project.core.run.lineage import Segment
from project.study.columns import differing_settings
from project.study.files import MAX_BYTES, MAX_YAML, check_regular, parse_json, read_file
from project.study.runs import RunRow
from project.study.saved_config import flatten_settings, read_settings

CODE = Path(__file__).parents[3]  # directory that contains the package
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_MOST, _LONGEST = 20, 80  # lines of a group, and characters of a value
_RESUMED = re.compile(r"environment(.*)\.json")


@dataclass(frozen=True)
class Source:
    """What the steps of a segment were computed from.

    Args:
        run: the run directory.
        settings: values of its configuration by config path.
        environment: values of its environment by path; empty if the run says nothing.
        code: commit and differences; None for what is not known.
    """

    run: Path
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    code: GitState

    @property
    def processes(self) -> int:
        """Number of the processes that trained."""
        processes = self.environment.get("threads.processes")
        return processes if isinstance(processes, int) else 1


def read_source(run: Path, segment: Segment) -> Source:
    """Return what the steps of a segment were computed from.

    Raises:
        ConfigError: a file is missing or damaged.
    """
    try:
        settings = read_settings(read_file(run / segment.config, MAX_YAML))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{run / segment.config} cannot be read: {error}") from error
    environment = _read_environment(run / segment.environment)
    return Source(run, settings, environment, _read_code(run, segment, environment))


def differing_sources(one: Source, two: Source) -> dict[str, list[str]]:
    """Return what differs, as lines such as `model.optimizer.lr: 0.001 -> 0.002`, by group."""
    rows = [RunRow(each.run, settings=dict(each.settings)) for each in (one, two)]
    settings = _lines(one.settings, two.settings, differing_settings(rows))
    paths = [path for path in {**one.environment, **two.environment} if not path.startswith("git.")]
    changed = [path for path in paths if one.environment.get(path) != two.environment.get(path)]
    groups = {"settings": settings, "environment": _lines(one.environment, two.environment, changed)}
    if one.code != two.code:
        groups["code"] = [f"{describe_code(one.code)} -> {describe_code(two.code)}"]
    return {name: lines for name, lines in groups.items() if lines}


def compare_progress(runs: Sequence[Path]) -> list[str]:
    """Return which of two runs are not finished, and how many steps they have if that differs, as lines."""
    rows = [_read_summary(run) for run in runs]
    lines = [
        f"{name} is still training, or was killed"
        for name, row in zip("AB", rows, strict=True)
        if row["state"] == "running"
    ]
    steps = [row["steps"] for row in rows]
    if None not in steps and steps[0] != steps[1]:
        lines.append(f"A has {steps[0]} steps, B {steps[1]}: those that both have were compared")
    return lines


def describe_code(code: GitState) -> str:
    """Return the commit of a run, and whether files differed from it."""
    if code.commit is None:
        return "unknown code"
    changes = {True: " with changes", False: "", None: " with unknown changes"}[code.is_dirty]
    return f"commit {code.commit[:10]}{changes}"


def is_present(code: GitState) -> bool:
    """Return whether a run was trained by the code as it is now."""
    return code.commit is not None and code.diff is not None and code == read_git(CODE)


def _read_summary(run: Path) -> dict[str, Any]:
    """Return the state and the number of steps of a run; None where it does not tell them."""
    try:
        content = parse_json(read_file(run / "summary.json"))
    except (OSError, ValueError, RecursionError):  # of an earlier version, or damaged: only a remark is left out
        content = None
    found = content if isinstance(content, dict) else {}
    return {name: found.get(name) if isinstance(found.get(name), str | int) else None for name in ("state", "steps")}


def _read_environment(file: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_file(file))
    except FileNotFoundError:  # of an earlier version
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is damaged: {error}") from error
    return flatten_settings(content) if isinstance(content, dict) else {}


def _read_code(run: Path, segment: Segment, environment: Mapping[str, Any]) -> GitState:
    """Return the code of a segment; the commit is only taken for one if it can be nothing else."""
    commit, is_dirty = environment.get("git.commit"), environment.get("git.is_dirty")
    if not (isinstance(commit, str) and _COMMIT.fullmatch(commit)):
        return GitState(None, None)
    if is_dirty is False:
        return GitState(commit, "")
    match = _RESUMED.fullmatch(segment.environment)
    try:
        check_regular(file := run / f"git{match[1] if match else ''}.diff", MAX_BYTES)
        return GitState(commit, file.read_bytes().decode(errors="surrogateescape"))
    except OSError:
        return GitState(commit, None)


def _lines(one: Mapping[str, Any], two: Mapping[str, Any], paths: list[str]) -> list[str]:
    lines = [f"{path}: {_show(one, path)} -> {_show(two, path)}" for path in paths[:_MOST]]
    return [*lines, f"and {len(paths) - _MOST} more"] if len(paths) > _MOST else lines


def _show(values: Mapping[str, Any], path: str) -> str:
    return shorten(str(values[path]), _LONGEST) if path in values else "—"
