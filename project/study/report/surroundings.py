"""Where and how a run was trained: environment, speed, the log, and uncommitted changes of the code."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from project.core.config.yaml_files import flatten
from project.core.errors import ConfigError, message_of, shorten
from project.core.run.lineage import read_lineage
from project.study.files import list_files
from project.study.report.html import Html, join, section, tag
from project.study.report.pieces import details, format_number, format_seconds, grid, problem, read_json, read_text
from project.study.runs import RunRow

# Matched: lines of log.txt that the engine writes.
_EPOCH = re.compile(r"^\S+ \S+ INFO +epoch (\d+)/\S+ +step \d+ +(\d+(?:\.\d+)?) s\b", re.MULTILINE)
_WARNING = re.compile(r"^\S+ (\S+) (?:WARNING|ERROR|CRITICAL) +(.*)$", re.MULTILINE)
_MAX_WARNINGS = 30
_MAX_LOG = 50_000  # characters at the end
_MAX_LINES, _MAX_WIDTH = 2000, 500  # of a diff; characters of a line of it, and of a warning
_MAX_VALUE = 300  # characters of a fact
_FOLDED = ("data", "packages")  # groups with many values
_MAX_FACTS = 500  # of such a group, and of what changed


def show_origin(run: Path, problems: list[str]) -> Html | None:
    """Return a line with the run that this one was forked from."""
    try:
        origin = read_lineage(run)[0].forked_from
    except ConfigError as error:
        problems.append(message_of(error))
        return None
    if origin is None:
        return None
    source = origin["run"] or origin["checkpoint"]  # a checkpoint may have been copied out of its run
    return tag("p", f"forked from {shorten(source, _MAX_WIDTH)} after step {origin['step']}", class_="path")


def show_speed(row: RunRow, log: str) -> Html | None:
    """Return a section with times of the training."""
    epochs = [float(match[2]) for match in _EPOCH.finditer(log)]
    facts: list[tuple[str, object]] = []
    if row.seconds is not None:
        facts.append(("training, all starts together", format_seconds(row.seconds)))
    if row.steps is not None:
        facts.append(("optimizer steps", row.steps))
    if row.steps and row.seconds:
        facts.append(("steps per second", format_number(row.steps / row.seconds)))
    if epochs:
        facts.append(("seconds per epoch, median", format_number(median(epochs))))
        facts.append(("seconds of the first epoch", format_number(epochs[0])))
    rows = ([tag("th", name, scope="row"), value] for name, value in facts)
    return section("Speed", grid("times of the training", [], rows, class_="facts")) if facts else None


def show_log(log: str) -> Html | None:
    """Return a section with the warnings of a log, each text once, and the end of the log."""
    if not log:
        return None
    found = Counter(match[2].strip() for match in _WARNING.finditer(log))
    shown = [
        [tag("td", shorten(text, _MAX_WIDTH), class_="warning"), f"{count} times" if count > 1 else ""]
        for text, count in islice(found.items(), _MAX_WARNINGS)
    ]
    cut = problem(f"only the last {_MAX_LOG} characters are shown") if len(log) > _MAX_LOG else None
    more = problem(f"{len(found) - _MAX_WARNINGS} more are left out") if len(found) > _MAX_WARNINGS else None
    return section(
        "Log",
        grid("warnings", [], shown, class_="facts") if shown else None,
        more,
        details("log.txt", cut, tag("pre", log[-_MAX_LOG:], tabindex=0)),
        note=f"{len(found)} different warnings and errors" if found else "no warnings",
    )


def show_environment(run: Path, problems: list[str]) -> Html | None:
    """Return a section with environment.json, and what was different when the run was resumed."""
    first = _read_environment(run / "environment.json", problems)
    if first is None:
        return None
    shown = [(k, v) for k, v in first.items() if k.partition(".")[0] not in _FOLDED]
    parts: list[object] = [_facts("environment", [*shown, *_summarize_data(first)])]
    for group in _FOLDED:
        facts = [(k.partition(".")[2], v) for k, v in first.items() if k.startswith(f"{group}.")]
        parts.append(details(f"{group} ({len(facts)})", _facts(group, facts)) if facts else None)
    for file in _list_resumed(run, "environment", ".json"):
        later = _read_environment(file, problems) or {}
        changes = [(k, f"{first.get(k, '—')} → {later[k]}") for k in later if later[k] != first.get(k)]
        title = f"Changed at {file.stem.partition('.')[2]}"
        parts += [tag("h3", title), _facts(title, changes)] if changes else []
    return section("Environment", *parts)


def show_diffs(run: Path, problems: list[str]) -> Html | None:
    """Return a section with the uncommitted changes of the code, with colours."""
    parts = []
    for file in (run / "git.diff", *_list_resumed(run, "git", ".diff")):
        if text := read_text(file, problems):
            lines = [*_without_content(text.splitlines())]
            left_out = len(lines) - _MAX_LINES
            cut = problem(f"{left_out} more lines are left out") if left_out > 0 else None
            content = tag("pre", *_color_lines(lines[:_MAX_LINES]), class_="diff", tabindex=0)
            parts.append(details(f"{file.name}, {len(lines)} lines", content, cut, is_open=len(lines) <= 100))
    return section("Changes since the commit", *parts) if parts else None


def _without_content(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a diff, without the content of new files that are no code.

    Such a file may contain anything, such as a password, and a page is sent to others.
    """
    is_code = is_left_out = False
    for line in lines:
        if line.startswith("diff "):
            is_code, is_left_out = line.rstrip('"').endswith(".py"), False
        is_left_out = is_left_out or (line.startswith("new file") and not is_code)
        if is_left_out and line.startswith("@@"):
            yield "(git.diff contains this file)"
        if not (is_left_out and line.startswith(("@@", "+", "\\")) and not line.startswith("+++ ")):
            yield line


def _color_lines(lines: list[str]) -> Iterator[Html]:
    kinds = {"+": "added", "-": "removed", "@": "place"}
    is_header = True  # lines of a file before its first @@, such as +++
    for line in lines:
        is_header = line.startswith("diff ") or (is_header and not line.startswith("@@"))
        yield tag("span", shorten(line, _MAX_WIDTH), "\n", class_="place" if is_header else kinds.get(line[:1]))


def _read_environment(file: Path, problems: list[str]) -> dict[str, Any] | None:
    tree = read_json(file, problems)
    return None if tree is None else {path: "—" if value == "None" else value for path, value in flatten(tree).items()}


def _summarize_data(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a line about the data files in the facts of environment.json; none about those of an older run."""
    if not any(name.startswith("data.") for name in facts):
        return []
    files = [name for name in facts if name.startswith("data.files.") and name.endswith(".size")]
    checked = [name for name in files if facts.get(f"{name.removesuffix('size')}sha256", "—") != "—"]
    counts = [v for k, v in facts.items() if k.startswith("data.directories.") and k.endswith(".files")]
    text = f"{len(files)} files, {len(checked)} of them with sha256" if files else "no files are named"
    if counts:
        text += f"; {len(counts)} directories of {' + '.join(map(str, counts))} files"
    return [("data", text if facts.get("data.left_out") in ("[]", None) else f"{text}; some are left out")]


def _list_resumed(run: Path, name: str, ending: str) -> list[Path]:
    """Return the files that a run wrote when it was resumed, such as environment.resume1.json, in order."""
    numbers = {
        int(number): file
        for file in list_files(run, ending)
        if file.name.startswith(f"{name}.resume")
        and (number := file.name.removeprefix(f"{name}.resume").removesuffix(ending)).isdecimal()
    }
    return [numbers[number] for number in sorted(numbers)]


def _facts(label: str, facts: Sequence[tuple[str, object]]) -> Html:
    rows = ([tag("th", name, scope="row"), shorten(str(value), _MAX_VALUE)] for name, value in facts[:_MAX_FACTS])
    more = problem(f"{len(facts) - _MAX_FACTS} more are left out") if len(facts) > _MAX_FACTS else None
    return join(grid(label, [], rows, class_="facts code"), more)
