"""The runs of a directory as the page shows them: what differs, which groups they form, which metrics they have."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from project.core.errors import shorten
from project.study.columns import ABSENT, differing_settings, is_repetition, short_names
from project.study.events import Curves
from project.study.grouping import COUNTED, Group, drop_sums, group_runs, metric_names
from project.study.report.importance import Importance, rank_settings
from project.study.report.samples import loss_names
from project.study.runs import RunRow, metrics_of
from project.study.table.values import show_settings

_MAX_METRICS = 8  # columns of metrics
_MAX_TEXT = 60  # characters of a setting


@dataclass
class RunsView:
    """The runs of a directory.

    Args:
        root: the directory.
        rows: the runs.
        curves: the curves of each run.
    """

    root: Path
    rows: list[RunRow]
    curves: list[Curves]

    @cached_property
    def keys(self) -> list[str]:
        """Config paths of the settings that differ."""
        return differing_settings([row for row in self.rows if row.settings])

    @cached_property
    def names(self) -> dict[str, str]:
        """Headings of `keys`."""
        return short_names(self.keys)

    @property
    def by(self) -> list[str]:
        """Those of `keys` that make groups: not seeds and folds."""
        return [key for key in self.keys if not is_repetition(key)]

    @property
    def repetitions(self) -> list[str]:
        """Those of `keys` in which runs of a group differ."""
        return [key for key in self.keys if is_repetition(key)]

    @cached_property
    def groups(self) -> list[Group]:
        """Runs that differ in seed and fold only."""
        return group_runs(self.rows, self.by)

    @cached_property
    def group_names(self) -> list[str]:
        """A text for each group, such as `lr=0.001, width=8`."""
        return [
            ", ".join(f"{self.names[key]}={shorten(text, 20)}" for key, text in zip(self.by, texts, strict=True))
            or "all"
            for texts in map(self.group_texts, self.groups)
        ]

    @cached_property
    def texts(self) -> dict[str, dict[Path, str]]:
        """The text of each of `keys` for each run by its directory; different values have different texts."""
        return {
            key: dict(zip((row.path for row in self.rows), map(_cut, show_settings(self._column(key))), strict=True))
            for key in self.keys
        }

    def group_texts(self, group: Group) -> list[str]:
        """Return the texts of the settings of a group."""
        (row, *_) = (*group.runs, *group.others)
        return [self.texts[key][row.path] for key in self.by]

    @cached_property
    def group_of(self) -> dict[Path, int]:
        """Index of the group of each run by its directory."""
        return {row.path: i for i, group in enumerate(self.groups) for row in (*group.runs, *group.others)}

    @cached_property
    def values(self) -> list[dict[str, float]]:
        """Metrics of each run by name."""
        return [metrics_of(row) for row in self.rows]

    @cached_property
    def monitor(self) -> tuple[str, str] | None:
        """Name and mode (min or max) of the value that most runs monitor."""
        found = [(row.best.monitor, row.best.mode) for row in self.rows if row.best is not None]
        return max(dict.fromkeys(found), key=found.count, default=None)

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics that are columns: best values and results of evaluations; last values of runs without any."""
        names = metric_names(self.rows)
        chosen = [name for name in names if not name.startswith("last ")]
        chosen = chosen or [name for name in names if "/" in name and not name.startswith("last train/")] or names
        return drop_sums(chosen, self.values)[:_MAX_METRICS]

    @cached_property
    def target(self) -> str | None:
        """The metric that says how good a run is: the monitored one of a test if there is one, else its best value."""
        if self.monitor is None:
            return next(iter(self.metrics), None)
        wanted = f"test/{self.monitor[0].partition('/')[2]}"
        return next((name for name in (wanted, f"best {self.monitor[0]}") if name in self.metrics), None)

    def _column(self, key: str) -> list[Any]:
        return [row.settings.get(key, ABSENT) for row in self.rows]

    def name(self, row: RunRow) -> str:
        """Return the path of a run in the directory."""
        return row.path.relative_to(self.root).as_posix()

    def mode(self, metric: str) -> str | None:
        """Return min or max; None if nothing says which values of a metric are better."""
        name = metric.partition("/")[2]
        if self.monitor is not None and name == self.monitor[0].partition("/")[2]:
            return self.monitor[1]
        losses = {loss for row in self.rows for loss in loss_names(row.settings)}
        return "min" if name == "sum" or name in losses else None

    def best_group(self, metric: str) -> int | None:
        """Return the index of the group with the best mean; None if nothing says which is better."""
        mode = self.mode(metric)
        means = {i: group.summary(metric).mean for i, group in enumerate(self.groups)}
        means = {i: mean for i, mean in means.items() if math.isfinite(mean)}
        if mode is None or not means:
            return None
        return (max if mode == "max" else min)(means, key=lambda i: means[i])

    @cached_property
    def importance(self) -> list[Importance]:
        """The settings that make groups, by how much of the target's variance goes along with them."""
        return rank_settings([row.settings for row in self.rows], self.by, self.scores)

    @cached_property
    def scores(self) -> list[float | None]:
        """The target of each run that counts in means."""
        if self.target is None:
            return [None] * len(self.rows)
        target = self.target
        return [
            values.get(target) if row.state in COUNTED else None
            for row, values in zip(self.rows, self.values, strict=True)
        ]

    def state_counts(self) -> dict[str, int]:
        """Return the number of runs in each state."""
        states = [row.state for row in self.rows]
        return {state: states.count(state) for state in dict.fromkeys(states)}


def _cut(text: str) -> str:
    return shorten(" ".join(text.split()), _MAX_TEXT)
