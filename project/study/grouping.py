"""Groups of runs that differ in seed and fold only, their means, and their differences to a baseline."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from project.study.columns import ABSENT, freeze
from project.study.runs import RunRow, metrics_of
from project.study.statistics import Interval, Summary, mean_interval, summarize

# A run without summary.json was written by an earlier version: nothing says that it did not finish.
COUNTED = ("finished", "unknown")


@dataclass
class Group:
    """Runs with the same values of some settings.

    Args:
        values: the values by config path; ABSENT for a setting that the runs do not have.
        runs: those that count in means: finished, or of an earlier version.
        others: those that failed, were stopped or pruned, or are running.
    """

    values: dict[str, Any]
    runs: list[RunRow] = field(default_factory=list)
    others: list[RunRow] = field(default_factory=list)

    @cached_property
    def metrics(self) -> list[dict[str, float]]:
        """Metrics of `runs`; see `metrics_of`."""
        return [metrics_of(row) for row in self.runs]

    def samples(self, metric: str) -> list[float]:
        """Return the values of a metric of the runs that have it."""
        return [each[metric] for each in self.metrics if metric in each]

    def summary(self, metric: str) -> Summary:
        """Return mean, standard deviation and number of the values of a metric."""
        return summarize(self.samples(metric))


@dataclass(frozen=True)
class Comparison:
    """Difference of a metric between a group and its baseline.

    Args:
        interval: mean and interval of the paired differences.
        unpaired: runs of either that have no partner, and do not count.
    """

    interval: Interval
    unpaired: tuple[RunRow, ...]


def metric_names(rows: Iterable[RunRow]) -> list[str]:
    """Return the metrics of runs: best values, then results of evaluations, then last values."""
    names = dict.fromkeys(name for row in rows for name in metrics_of(row))
    return sorted(names, key=lambda name: (name.startswith("last "), not name.startswith("best ")))


def drop_sums(names: Sequence[str], metrics: Sequence[Mapping[str, float]]) -> list[str]:
    """Return metrics without each `sum` that repeats another value of its split: it is the sum of a single loss.

    Args:
        names: names of metrics, such as `test/sum`.
        metrics: their values in each run or evaluation.
    """

    def is_repeated(name: str) -> bool:
        split, having = name.removesuffix("sum"), [each for each in metrics if name in each]
        others = [other for other in names if other.startswith(split) and other != name]
        return any(all(repr(each[name]) == repr(each.get(other)) for each in having) for other in others)

    return [name for name in names if not (name.rpartition("/")[2] == "sum" and is_repeated(name))]


def group_runs(rows: Iterable[RunRow], by: Sequence[str]) -> list[Group]:
    """Return the groups of runs with the same values of settings, sorted by these.

    Args:
        rows: the runs; those whose config.yaml could not be read are in no group.
        by: config paths of the settings.

    Example::

        for group in group_runs(project.runs("experiments"), ["model.optimizer.lr"]):
            print(group.values, group.summary("test/accuracy").mean)
    """
    groups: dict[tuple[str, ...], Group] = {}
    for row in rows:
        if row.settings:
            values = {key: row.settings.get(key, ABSENT) for key in by}
            group = groups.setdefault(tuple(map(freeze, values.values())), Group(values))
            (group.runs if row.state in COUNTED else group.others).append(row)
    return sorted(groups.values(), key=lambda group: [sort_key(value) for value in group.values.values()])


def sort_key(value: Any) -> tuple[int, float, str]:
    """Return a key that sorts numbers by value, before texts; NaN after all numbers."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (1, 0.0, "") if math.isnan(value) else (0, float(value), "")
    return 2, 0.0, str(value)


def find_baseline(group: Group, groups: Sequence[Group], key: str, value: str) -> Group | None:
    """Return the group that differs from one in a setting only, which has a value there.

    Args:
        group: the group.
        groups: all groups.
        key: config path of the setting.
        value: its frozen value in the baseline.
    """
    wanted = {path: freeze(each) for path, each in group.values.items()} | {key: value}
    return next((other for other in groups if {k: freeze(v) for k, v in other.values.items()} == wanted), None)


def compare(group: Group, baseline: Group, metric: str, paired_by: Sequence[str]) -> Comparison:
    """Return the difference of a metric to a baseline, over pairs of runs.

    Args:
        group: the group.
        baseline: the group that it is compared with.
        metric: name of the metric.
        paired_by: config paths of the settings that both runs of a pair must share: all that differ between runs and do
            not make the groups, such as seed and fold.
    """
    ours, theirs = _by_setting(group, metric, paired_by), _by_setting(baseline, metric, paired_by)
    pairs = {key: _mean(ours[key], metric) - _mean(theirs[key], metric) for key in ours if key in theirs}
    unpaired = [row for key in ours.keys() ^ theirs.keys() for row in (ours | theirs)[key]]
    lacking = [row for each in (group, baseline) for row in each.runs if metric not in metrics_of(row)]
    alone = tuple(sorted([*unpaired, *lacking], key=lambda row: row.path))
    return Comparison(_interval(pairs, paired_by), alone)


def describe_pairs(paired_by: Sequence[str], names: Mapping[str, str]) -> str:
    """Return how the runs of `compare` are paired.

    Args:
        paired_by: config paths of the settings that both runs of a pair share.
        names: their headings.
    """
    shared = f" by {', '.join(names[key] for key in paired_by)}" if paired_by else ""
    return f"paired{shared}" + (
        ", averaged over seeds or folds, whichever interval is wider" if _has_seeds_and_folds(paired_by) else ""
    )


def _has_seeds_and_folds(keys: Iterable[str]) -> bool:
    return {"seed", "fold"} <= {key.rpartition(".")[2] for key in keys}


def _interval(pairs: Mapping[tuple[str, ...], float], keys: Sequence[str]) -> Interval:
    """Return the interval of the differences of pairs, by what they share.

    The pairs of a fold share its samples, and those of a seed the first weights. Counted as independent, the interval
    would be too narrow; the wider one of the means by fold and of those by seed is not.
    """
    if not _has_seeds_and_folds(keys):
        return mean_interval([*pairs.values()])
    intervals = [mean_interval(_average_over(name, pairs, keys)) for name in ("seed", "fold")]
    return max(intervals, key=lambda each: (each.n > 1, each.high - each.low))


def _average_over(name: str, pairs: Mapping[tuple[str, ...], float], keys: Sequence[str]) -> list[float]:
    """Return the means of the differences that agree in all settings but those of a name."""
    found: dict[tuple[str, ...], list[float]] = {}
    for values, difference in pairs.items():
        rest = tuple(value for key, value in zip(keys, values, strict=True) if key.rpartition(".")[2] != name)
        found.setdefault(rest, []).append(difference)
    return [summarize(differences).mean for differences in found.values()]


def _by_setting(group: Group, metric: str, keys: Sequence[str]) -> dict[tuple[str, ...], list[RunRow]]:
    found: dict[tuple[str, ...], list[RunRow]] = {}
    for row, metrics in zip(group.runs, group.metrics, strict=True):
        if metric in metrics:
            found.setdefault(tuple(freeze(row.settings.get(key, ABSENT)) for key in keys), []).append(row)
    return found


def _mean(rows: Sequence[RunRow], metric: str) -> float:
    """Return the mean of runs that share all settings."""
    return summarize([metrics_of(row)[metric] for row in rows]).mean
