"""Which settings differ between runs, and short headings for them."""

import math
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from project.core.errors import ConfigError, did_you_mean, join_names
from project.study.runs import RunRow

# Settings that change where a run is kept and what it says, not what it computes.
NOT_COMPARED = ("name", "root", "replace", "log_level", "timeout")
_TYPES = ("type", "class_path")
_MOST_KNOWN = 30  # columns that a message lists
_REPEATED = re.compile(r"(?:^|\.)(?:seed|fold)$")


class Absent:
    """Value of a setting that a run does not have."""

    def __repr__(self) -> str:
        return "—"


ABSENT = Absent()


def differing_settings(rows: Sequence[RunRow]) -> list[str]:
    """Return the config paths of the settings that are not the same in all runs, in the order of config.yaml.

    A path is left out if another column implies it: that of a `type` which has one value of it each, such as the width
    of a net that only runs of one type have, or that of `vars.k` if it has its value.
    """
    settings = [row.settings for row in rows]
    keys = dict.fromkeys(key for each in settings for key in each)
    own = [f"{each.get('root')}/{each.get('name')}" for each in settings]
    columns: dict[str, list[Any]] = {}
    for key in keys:
        values = [each.get(key, ABSENT) for each in settings]
        if key in NOT_COMPARED or not _differ(values):
            continue
        # Values in the run directory, such as the directory of a logger, differ as its name does.
        frozen = [freeze(value).replace(run, "RUN") for value, run in zip(values, own, strict=True)]
        if len(set(frozen)) > 1:
            columns[key] = frozen
    inner = {parent for key in columns for parent in _parents(key)}
    states = {freeze(None), freeze(ABSENT)}
    # A mapping that is null in some runs is seen by its values in the others.
    columns = {key: values for key, values in columns.items() if key not in inner or not states.issuperset(values)}
    variables = {tuple(values) for key, values in columns.items() if key.startswith("vars.")}
    return [key for key in columns if not _is_implied(key, columns, variables)]


def is_repetition(key: str) -> bool:
    """Return whether a setting only repeats a run: a seed, or the fold of a cross-validation."""
    return _REPEATED.search(key) is not None


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def freeze(value: Any) -> str:
    """Return a text that is the same for equal values only; 1, 1.0, true and '1' differ."""
    return f"{type(value).__name__} {value!r}"


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Return a heading for each config path: the shortest end of it that no other has.

    `type` alone says nothing: the heading of `model.net.type` is `net.type`.
    """
    return {key: next((end for end in ends if end not in _TYPES), key) for key, ends in unique_ends(keys).items()}


def unique_ends(keys: Iterable[str]) -> dict[str, list[str]]:
    """Return the ends of each config path that no other has, the shortest first; the last is the whole path."""
    ends = {key: [key.split(".", cut)[cut] for cut in range(key.count("."), -1, -1)] for key in keys}
    counts = Counter(end for each in ends.values() for end in each)
    return {key: [end for end in each if counts[end] == 1 or end == key] for key, each in ends.items()}


def find_column(name: str, known: Iterable[str], option: str) -> str:
    """Return the column with a name, or the only one whose name ends with it after a dot, slash or space.

    Raises:
        ConfigError: there is none, or more than one.
    """
    found = find_columns(name, known, option)
    if len(found) > 1:
        raise ConfigError(f"{option}: '{name}' may be {', '.join(found[:-1])} or {found[-1]}; use more of its name")
    return found[0]


def find_columns(name: str, known: Iterable[str], option: str) -> list[str]:
    """Return the column with a name, or all whose names end with it after a dot, slash or space.

    Raises:
        ConfigError: there is none.
    """
    columns = [*known]
    found = [column for column in columns if column == name] or [each for each in columns if ends_with(each, name)]
    if not found:
        tails = {".".join(column.split(".")[-n:]) for column in columns for n in (1, 2)}
        near = did_you_mean(name, [*columns, *sorted(tails), *(column.rpartition(" ")[2] for column in columns)])
        shown = columns if len(columns) <= _MOST_KNOWN else [*columns[:_MOST_KNOWN], "..."]
        raise ConfigError(f"{option}: there is no '{name}'{near}\nknown: {join_names(shown)}")
    return found


def ends_with(column: str, name: str) -> bool:
    """Return whether a column has a name as its end, after a dot, slash or space."""
    return column.endswith((f".{name}", f"/{name}", f" {name}"))


def _differ(values: list[Any]) -> bool:
    first = values[0]
    return values.count(first) < len(values) or len(set(map(type, values))) > 1 or isinstance(first, list | dict)


def _parents(key: str) -> list[str]:
    """Return the config paths of the mappings that contain a setting."""
    parts = key.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def _is_implied(key: str, columns: Mapping[str, Sequence[str]], variables: Container[tuple[str, ...]]) -> bool:
    values = columns[key]
    if not key.startswith("vars.") and tuple(values) in variables:
        return True
    parts = key.split(".")
    for depth in range(1, len(parts)):
        part = ".".join(parts[:depth])
        types = [columns[name] for name in (f"{part}.{word}" for word in _TYPES) if name in columns and name != key]
        inner = parts[depth:-1]
        is_beside = not inner or inner == ["init_args"]
        for kinds in types:
            is_determined = len(set(zip(kinds, values, strict=True))) == len(set(kinds))
            if is_determined and (is_beside or freeze(ABSENT) in values):
                return True
    return False
