"""What two runs were computed from, apart from their states: settings, code, packages, machine and data."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from project.core.errors import ConfigError, join_names, shorten
from project.core.run.git import GitState, read_git
from project.core.run.lineage import Segment
from project.study.columns import differing_settings
from project.study.files import MAX_BYTES, MAX_YAML, check_regular, parse_json, read_file
from project.study.runs import RunRow
from project.study.saved_config import flatten_settings, read_settings

CODE = Path(__file__).parents[3]  # directory that contains the package
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_MOST, _LONGEST = 20, 80  # lines of a group, and characters of a value
_DATA = "data"  # group of environment.json
Facts = Mapping[str, Mapping[str, Any]]
_RESUMED = re.compile(r"environment(.*)\.json")


@dataclass(frozen=True)
class Source:
    """What the steps of a segment were computed from.

    Args:
        run: the run directory.
        settings: values of its configuration by config path.
        environment: values of its environment by path; empty if the run says nothing.
        code: commit and differences; None for what is not known.
        data: what is known of data files and directories, by path.
    """

    run: Path
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    code: GitState
    data: Facts = field(default_factory=dict)

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
    content = _read_environment(run / segment.environment)
    environment = flatten_settings({key: value for key, value in content.items() if key != _DATA})
    return Source(run, settings, environment, _read_code(run, segment, environment), _read_facts(content))


def differing_sources(one: Source, two: Source) -> dict[str, list[str]]:
    """Return what differs, as lines such as `model.optimizer.lr: 0.001 -> 0.002`, by group."""
    rows = [RunRow(each.run, settings=dict(each.settings)) for each in (one, two)]
    settings = _lines(one.settings, two.settings, differing_settings(rows))
    paths = [path for path in {**one.environment, **two.environment} if not path.startswith("git.")]
    changed = [path for path in paths if one.environment.get(path) != two.environment.get(path)]
    groups = {"data": _data_lines(one.data, two.data), "settings": settings}
    groups["environment"] = _lines(one.environment, two.environment, changed)
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
    return content if isinstance(content, dict) else {}


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


def _data_lines(first: Facts, second: Facts) -> list[str]:
    """Return which data files and directories differed when the runs started; another time alone does not count."""
    lines = [f"only {'A' if name in first else 'B'} has {name}" for name in first.keys() ^ second.keys()]
    for name in first.keys() & second.keys():
        differing = [fact for fact, value in first[name].items() if value != second[name].get(fact)]
        has_equal_content = first[name].get("sha256") is not None and "sha256" not in differing
        if differing and differing != ["newest"] and not has_equal_content:
            lines.append(f"{name} differs: {join_names(differing)}")
    lines.sort()
    return [*lines[:_MOST], f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else lines


def _read_facts(content: Mapping[str, Any]) -> Facts:
    """Return what the environment of a run says of its data files and directories, by path."""
    data = content.get(_DATA)
    groups = [data.get(key) for key in ("files", "directories")] if isinstance(data, dict) else []
    found = [each for group in groups if isinstance(group, dict) for each in group.items()]
    return {name: facts for name, facts in found if isinstance(facts, dict)}


def _lines(one: Mapping[str, Any], two: Mapping[str, Any], paths: list[str]) -> list[str]:
    lines = [f"{path}: {_show(one, path)} -> {_show(two, path)}" for path in paths[:_MOST]]
    return [*lines, f"and {len(paths) - _MOST} more"] if len(paths) > _MOST else lines


def _show(values: Mapping[str, Any], path: str) -> str:
    return shorten(str(values[path]), _LONGEST) if path in values else "—"
