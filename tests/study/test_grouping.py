"""Groups contain the runs that count, and differences are those of pairs."""

import math
import random
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from project.study.columns import ABSENT, freeze
from project.study.grouping import (
    _interval,
    compare,
    describe_pairs,
    drop_sums,
    find_baseline,
    group_runs,
    metric_names,
)
from project.study.runs import Best, RunRow, metrics_of
from project.study.statistics import mean_interval, summarize


def row(name: str, accuracy: float | None, state: str = "finished", **settings: Any) -> RunRow:
    results = {} if accuracy is None else {"test/accuracy": accuracy}
    return RunRow(Path(name), state, settings=settings, results=results)


def test_metrics_are_named_after_what_they_are() -> None:
    run = RunRow(
        Path("a"), best=Best("val/loss", "min", 0.5, 8, 2, None), last={"val/loss": 0.7}, results={"test/f1": 1.0}
    )
    assert metrics_of(run) == {"best val/loss": 0.5, "last val/loss": 0.7, "test/f1": 1.0}
    assert metric_names([run, row("b", 0.5)]) == ["best val/loss", "test/f1", "test/accuracy", "last val/loss"]


def test_groups_are_sorted_by_value_and_contain_finished_runs() -> None:
    """Runs that failed, go on, were stopped or pruned are in no mean; numbers are sorted as numbers."""
    runs = [
        *(row("a", 0.5, lr=10, seed=0), row("b", 0.7, lr=10, seed=1), row("c", 0.1, "unknown", lr=9.5, seed=0)),
        *(row(state, 0.9, state, lr=10, seed=2) for state in ("failed", "running", "stopped", "pruned")),
        *(row("d", None, seed=0), row("e", None, lr=10, seed=4), RunRow(Path("unread"))),
    ]
    groups = group_runs(runs, ["lr"])
    assert [group.values["lr"] for group in groups] == [9.5, 10, ABSENT]
    assert [run.name for run in groups[1].runs] == ["a", "b", "e"]
    assert [run.name for run in groups[1].others] == ["failed", "running", "stopped", "pruned"]
    assert groups[1].summary("test/accuracy") == summarize([0.5, 0.7])
    assert groups[2].summary("test/accuracy").n == 0


def test_without_settings_all_runs_are_one_group() -> None:
    (group,) = group_runs([row("a", 0.5, seed=0), row("b", 0.7, seed=1)], [])
    assert (group.values, len(group.runs)) == ({}, 2)


def test_differences_are_paired_by_seed_and_fold() -> None:
    """The pairs have the same seed, whatever the order of the runs; a run without a partner does not count."""
    values = {(1, 0): 0.5, (1, 1): 0.6, (1, 2): 0.9, (2, 1): 0.8, (2, 0): 0.6, (2, 3): 0.1}
    runs = [row(f"{lr}_{seed}", value, lr=lr, seed=seed) for (lr, seed), value in values.items()]
    runs += [row("failed", 0.9, "failed", lr=2, seed=2), row("untested", None, lr=2, seed=4)]
    base, other = group_runs(runs, ["lr"])
    assert find_baseline(other, [base, other], "lr", freeze(1)) is base
    comparison = compare(other, base, "test/accuracy", ["seed"])
    assert comparison.interval == mean_interval([0.6 - 0.5, 0.8 - 0.6])
    assert [run.name for run in comparison.unpaired] == ["1_2", "2_3", "untested"]


def test_each_group_is_compared_with_the_one_that_differs_in_the_baseline_only() -> None:
    runs = [row(f"{lr}{width}", lr * width, lr=lr, width=width, seed=0) for lr in (1, 2) for width in (3, 5)]
    groups = group_runs(runs, ["lr", "width"])
    bases = [find_baseline(group, groups, "lr", freeze(1)) for group in groups]
    assert [base.values["width"] for base in bases if base] == [3, 5, 3, 5]
    comparison = compare(groups[3], groups[1], "test/accuracy", ["seed"])
    assert (comparison.interval.mean, comparison.interval.n) == (5.0, 1)
    assert math.isnan(comparison.interval.low)
    assert find_baseline(groups[0], groups[1:], "lr", freeze(1)) is None


def test_runs_with_the_same_settings_are_one_side_of_a_pair() -> None:
    runs = [row("a", 0.5, lr=1, seed=0), row("b", 0.7, lr=1, seed=0), row("c", 1.0, lr=2, seed=0)]
    base, other = group_runs(runs, ["lr"])
    comparison = compare(other, base, "test/accuracy", ["seed"])
    assert comparison.interval.mean == pytest.approx(0.4)
    assert comparison.interval.n == 1


def test_only_a_sum_that_repeats_a_value_of_its_split_is_dropped() -> None:
    """Also of runs with other metrics, and where two other metrics are equal."""
    metrics = [{"test/l1": 1.0, "test/sum": 1.0, "test/f1": 0.5, "test/accuracy": 0.5}, {"best val/sum": 2.0}]
    metrics.append({"best val/l1": 3.0})
    names = list(dict.fromkeys(name for each in metrics for name in each))
    assert drop_sums(names, metrics) == [name for name in names if name != "test/sum"]
    assert drop_sums(["l1", "sum"], [{"l1": 1.0, "sum": 2.0}]) == ["l1", "sum"]
    assert drop_sums(["l1", "sum"], [{"l1": math.nan, "sum": math.nan}]) == ["l1"]


@pytest.mark.parametrize(("of_fold", "of_seed"), [(1.0, 0.125), (0.125, 1.0)])
def test_seeds_and_folds_are_not_independent(of_fold: float, of_seed: float) -> None:
    """The pairs of a fold or seed have something in common: the means that differ most make the interval."""
    runs = []
    for lr, seed, fold in product((1, 2), (0, 1, 2), (0, 1, 2)):
        settings: dict[str, Any] = {"lr": lr, "seed": seed, "vars.fold": fold}
        runs.append(row(f"{lr}{seed}{fold}", lr * (of_fold * fold + of_seed * seed), **settings))
    base, other = group_runs(runs, ["lr"])
    paired_by = ["seed", "vars.fold"]
    assert compare(other, base, "test/accuracy", paired_by).interval == mean_interval([0.125, 1.125, 2.125])
    base, other = group_runs([run for run in runs if run.settings["seed"] == 0], ["lr"])
    folds = [of_fold * fold for fold in range(3)]
    assert compare(other, base, "test/accuracy", paired_by).interval == mean_interval(folds)


def test_pairing_is_described() -> None:
    names = {"seed": "seed", "vars.fold": "fold"}
    wider = "averaged over seeds or folds, whichever interval is wider"
    assert describe_pairs([*names], names) == f"paired by seed, fold, {wider}"
    assert describe_pairs(["seed"], names) == "paired by seed"
    assert describe_pairs([], names) == "paired"


@pytest.mark.parametrize(("of_fold", "of_seed"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_interval_over_seeds_and_folds_contains_the_truth(of_fold: float, of_seed: float) -> None:
    """In a simulation; with all pairs counted as independent, in half to three quarters of the cases only."""
    draw, found = random.Random(0), 0
    keys: list[tuple[str, ...]] = [(str(seed), str(fold)) for seed in range(3) for fold in range(5)]
    for _ in range(200):
        folds, seeds = ([draw.gauss(0, size) for _ in range(5)] for size in (of_fold, of_seed))
        pairs = {key: folds[int(key[1])] + seeds[int(key[0])] + draw.gauss(0, 0.3) for key in keys}
        interval = _interval(pairs, ["seed", "fold"])
        found += interval.low <= 0 <= interval.high
    assert found >= 180
