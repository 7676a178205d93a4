"""What a table of runs contains: its columns, its lines, and what is said under it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from project.core.config.yaml_files import parse_yaml
from project.core.errors import ConfigError, did_you_mean, join_names, without_commands
from project.study.columns import (
    ABSENT,
    differing_settings,
    ends_with,
    find_column,
    find_columns,
    freeze,
    is_repetition,
    short_names,
)
from project.study.grouping import (
    Comparison,
    Group,
    compare,
    describe_pairs,
    drop_sums,
    find_baseline,
    group_runs,
    metric_names,
    sort_key,
)
from project.study.runs import RunRow, metrics_of
from project.study.table.notes import describe_runs, name_runs
from project.study.table.values import show_settings

Value = Any  # of a cell: a setting, a number of runs, a Summary, an Interval, or None for an empty cell


@dataclass
class Column:
    """A column.

    Args:
        heading: its heading.
        path: config path of a setting, or name of a metric; empty for others.
        kind: setting, runs, metric or difference.
        values: the value of each line.
    """

    heading: str
    path: str
    kind: str
    values: list[Value] = field(default_factory=list)


@dataclass
class Table:
    """A table of runs.

    Args:
        columns: its columns.
        notes: lines under it.
    """

    columns: list[Column]
    notes: list[str]


@dataclass(frozen=True)
class Choices:
    """What a user asked for.

    Args:
        by: settings that make the groups; None for all that differ, except seed and fold.
        metrics: metrics; None for the best and last values of the monitored one, and all results.
        sort: column to sort by, with - for descending order; None sorts by the settings.
        baseline: VALUE, or KEY=VALUE, of the groups that others are compared with.
    """

    by: list[str] | None = None
    metrics: list[str] | None = None
    sort: str | None = None
    baseline: str | None = None


def make_table(rows: Sequence[RunRow], choices: Choices) -> Table:
    """Return the table of runs.

    Raises:
        ConfigError: a name in the choices is unknown, or may be several columns.
    """
    read = [row for row in rows if row.settings]
    differing = differing_settings(read) if read else []
    by = [key for key in differing if not is_repetition(key)]
    if choices.by is not None:
        by = list(dict.fromkeys(_find_setting(name, differing, read) for name in choices.by))
    rest = [key for key in differing if key not in by]
    groups = group_runs(read, by)
    metrics = _choose_metrics(rows, choices.metrics)
    headings = short_names([*by, *rest])
    columns = [Column(headings[key], key, "setting", [group.values[key] for group in groups]) for key in by]
    columns.append(Column("runs", "", "runs", [len(group.runs) for group in groups]))
    notes = describe_runs(rows, differing)
    baseline = _find_baseline_setting(choices.baseline, columns) if choices.baseline is not None else None
    for metric in metrics:
        columns.append(Column(metric, metric, "metric", [group.summary(metric) for group in groups]))
        if baseline is not None:
            compared = [_compare(group, groups, baseline, metric, rest) for group in groups]
            columns.append(Column(f"Δ {metric}", metric, "difference", [_interval(each) for each in compared]))
            notes += _describe_unpaired(metric, compared)
    if baseline is not None:
        key, value = baseline
        shown = next(shown for each, shown in _shown(columns, key) if freeze(each) == value)
        paired = describe_pairs(rest, headings)
        notes.insert(0, f"Δ: difference to {headings[key]} {shown}, {paired}; mean [95 % interval, Student's t]")
    if choices.sort is not None:
        _sort(columns, choices.sort)
    for column in columns:
        column.heading = without_commands(column.heading)
    return Table(columns, [*map(without_commands, notes)])


def _find_setting(name: str, differing: Sequence[str], rows: Sequence[RunRow]) -> str:
    """Return the config path of a setting by its name or the end of it, rather one that differs between runs."""
    known = dict.fromkeys(key for row in rows for key in row.settings)
    if name in known:
        return name
    if any(key.endswith(f".{name}") for key in differing):
        found = find_columns(name, differing, "--by")
        if all(len({freeze(row.settings.get(key)) for key in found}) == 1 for row in rows):
            return found[0]  # such as the fold of the training and the validation set
        return find_column(name, differing, "--by")
    if any(key.endswith(f".{name}") for key in known):
        return find_column(name, known, "--by")
    return find_column(name, differing, "--by")  # raises, with the settings that differ


def _choose_metrics(rows: Iterable[RunRow], given: Sequence[str] | None) -> list[str]:
    """Return the metrics that become columns."""
    rows = list(rows)
    names = metric_names(rows)
    if given is not None:
        return list(dict.fromkeys(each for name in given for each in find_columns(name, names, "--metrics")))
    monitored = {f"last {row.best.monitor}" for row in rows if row.best is not None}
    chosen = [name for name in names if not name.startswith("last ") or name in monitored]
    return drop_sums(chosen, list(map(metrics_of, rows))) or names


def _shown(columns: Iterable[Column], key: str) -> list[tuple[Value, str]]:
    """Return the values of a setting with their texts in the table."""
    column = next(column for column in columns if column.path == key and column.kind == "setting")
    return list(zip(column.values, show_settings(column.values), strict=True))


def _find_baseline_setting(text: str, columns: Sequence[Column]) -> tuple[str, str]:
    """Return config path and frozen value of the setting that VALUE or KEY=VALUE means."""
    columns = [column for column in columns if column.kind == "setting"]
    name, equals, value = text.partition("=")  # of KEY=VALUE
    named = [column for column in columns if equals and name in (column.heading, column.path)]
    wanted = value if named else text
    found = {
        (column.path, freeze(each)): column.heading
        for column in named or columns
        for each, shown in _shown(columns, column.path)
        if _means(wanted, each, shown)
    }
    if not found:
        known = list(dict.fromkeys(shown for column in named or columns for _, shown in _shown(columns, column.path)))
        near = did_you_mean(wanted, known)
        raise ConfigError(f"--baseline: no setting in --by has the value '{wanted}'{near}\nknown: {join_names(known)}")
    if len(found) > 1:
        names = " or ".join(f"{heading}={wanted}" for heading in found.values())
        raise ConfigError(f"--baseline: '{wanted}' is a value of several settings; use {names}")
    return next(iter(found))


def _means(text: str, value: Value, shown: str) -> bool:
    """Return whether a text of the command line means a value: 1e-3 is 0.001."""
    if text in (shown, str(value)):
        return True
    try:
        parsed = parse_yaml(text, "--baseline")
    except ConfigError:
        return False
    is_number = isinstance(parsed, int | float) and not isinstance(parsed, bool)
    return is_number and isinstance(value, int | float) and not isinstance(value, bool) and parsed == value


def _compare(
    group: Group, groups: Sequence[Group], baseline: tuple[str, str], metric: str, rest: Sequence[str]
) -> Comparison | None:
    """Return the difference of a group to its baseline; None for a baseline itself, and if there is none."""
    other = find_baseline(group, groups, *baseline)
    return None if other is None or other is group else compare(group, other, metric, rest)


def _interval(comparison: Comparison | None) -> Value:
    return None if comparison is None else comparison.interval


def _describe_unpaired(metric: str, compared: Iterable[Comparison | None]) -> list[str]:
    unpaired = {row.path: row for each in compared if each is not None for row in each.unpaired}
    rows = [unpaired[path] for path in sorted(unpaired)]
    return [f"Δ {metric}: without a partner, and not compared: {name_runs(rows)}"] if rows else []


def _sort(columns: list[Column], text: str) -> None:
    """Sort the lines of a table by a column; those without a value come last."""
    names = {column.heading: column for column in columns} | {c.path: c for c in columns if c.kind == "setting"}
    is_known = any(name == text or ends_with(name, text) for name in names)
    is_descending = text.startswith("-") and not is_known
    column = names[find_column(text.removeprefix("-") if is_descending else text, names, "--sort")]
    keys = {i: key for i, value in enumerate(column.values) if (key := _sort_key(value)) is not None}
    present = sorted(keys, key=lambda i: keys[i], reverse=is_descending)
    order = [*present, *(i for i in range(len(column.values)) if i not in keys)]
    for each in columns:
        each.values = [each.values[i] for i in order]


def _sort_key(value: Value) -> tuple[int, float, str] | None:
    """Return a key that sorts values; None for an empty one."""
    number = getattr(value, "mean", value)
    return None if value is None or value is ABSENT or number != number else sort_key(number)
