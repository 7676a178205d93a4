"""Which settings a score goes along with, by ranks and one setting at a time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from project.study.columns import freeze, is_number

MIN_RUNS = 8  # with fewer, chance alone orders the settings
_SHUFFLES = 200  # orders of the runs that show what chance does
_MAX_LEVELS = 12  # more values of a number are made four groups of equal size


@dataclass(frozen=True)
class Importance:
    """How much of a score's variance a setting explains.

    Args:
        key: config path of the setting.
        share: share of the variance of the score's ranks between the values of the setting, in [0, 1]; adjusted for
            chance, so it is around 0 for a setting without effect however many values it has.
        chance: the share that a setting without effect exceeds in one of 20 cases, which is large for few runs.
        correlation: Spearman's rank correlation with the score; None unless the setting is a number in all runs.
    """

    key: str
    share: float
    chance: float
    correlation: float | None


def rank_settings(
    settings: Sequence[Mapping[str, Any]], keys: Sequence[str], scores: Sequence[float | None]
) -> list[Importance]:
    """Return the importance of settings, the largest share first; empty with fewer than `MIN_RUNS` scores.

    Args:
        settings: settings of each run, by config path.
        keys: the settings to judge; those whose groups are too small to compare are left out.
        scores: the score of each run; None or not finite for a run without one.

    Example::

        rank_settings([run.settings for run in runs], ["model.optimizer.lr"], [0.9, 0.8, ...])
    """
    scored = [(run, score) for run, score in zip(settings, scores, strict=True) if score is not None]
    scored = [(run, score) for run, score in scored if math.isfinite(score)]
    if len(scored) < MIN_RUNS:
        return []
    ranks = rank(np.array([score for _, score in scored]))
    orders = np.random.default_rng(0).permuted(np.tile(ranks, (_SHUFFLES, 1)), axis=1)
    found = []
    for key in keys:
        values = [run.get(key) for run, _ in scored]
        groups = _group(values)
        if 1 < len(np.unique(groups)) <= len(scored) // 2:
            share, *shuffled = _explained(np.concatenate([ranks[None], orders]), groups)
            found.append(Importance(key, share, float(np.quantile(shuffled, 0.95)), _correlation(values, ranks)))
    return sorted(found, key=lambda each: -each.share)


def rank(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values, from 1; equal ones have their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def _explained(orders: np.ndarray, groups: np.ndarray) -> list[float]:
    """Return the share of the variance that is between groups: epsilon squared, not below 0.

    Args:
        orders: ranks in several orders `(N, runs)`.
        groups: number of the group of each run.
    """
    deviations = orders - orders.mean(1, keepdims=True)
    total = (deviations**2).sum(1)
    members = (groups[:, None] == np.unique(groups)).astype(float)
    count, (num_runs, num_groups) = members.sum(0), members.shape
    within = total - ((deviations @ members) ** 2 / count).sum(1)
    # k groups drawn by chance explain (k - 1) / (n - 1) of the variance.
    unexplained = within / (num_runs - num_groups) / np.where(total == 0, np.inf, total / (num_runs - 1))
    shares: list[float] = np.where(total == 0, 0.0, np.clip(1 - unexplained, 0, 1)).tolist()
    return shares


def _correlation(values: Sequence[Any], ranks: np.ndarray) -> float | None:
    if not all(is_number(value) for value in values) or len({*ranks.tolist()}) < 2:
        return None
    return float(np.corrcoef(rank(np.array(values, dtype=float)), ranks)[0, 1])


def _group(values: Sequence[Any]) -> np.ndarray:
    """Return the number of each value's group: equal values, or quartiles of many numbers and the rest."""
    numbers = [float(value) for value in values if is_number(value)]
    levels = {_level(value): None for value in values}
    if len({*numbers}) > min(_MAX_LEVELS, len(values) // 2):
        edges = np.quantile(numbers, (0.25, 0.5, 0.75))
        return np.array([int(np.searchsorted(edges, value)) if is_number(value) else -1 for value in values])
    order = {level: number for number, level in enumerate(levels)}
    return np.array([order[_level(value)] for value in values])


def _level(value: Any) -> object:
    return float(value) if is_number(value) else freeze(value)
