"""The definition of a sweep: what SWEEP.yaml, or the key `sweep` of an experiment's yaml, contains."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from project.core.config.yaml_files import Tree
from project.core.errors import ConfigError


@dataclass(frozen=True)
class Choice:
    """A setting that takes one of several values.

    Args:
        values: the values.
        when: values that other settings must have for this one to be set, by config path.
    """

    values: tuple[Any, ...]
    when: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Number:
    """A setting that takes a number within bounds, both included.

    Args:
        low: the lowest.
        high: the highest.
        is_log: whether it is drawn uniformly in the logarithm.
        is_int: whether it is a whole number.
        when: values that other settings must have for this one to be set, by config path.
    """

    low: float
    high: float
    is_log: bool = False
    is_int: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Definition:
    """A sweep.

    Args:
        grid: values of settings, all combinations of which are trials.
        space: settings whose values are drawn, by config path; empty with a grid.
        trials: number of trials of a space.
        seeds: seeds of the runs of each trial; empty for that of the yaml.
        folds: number of folds of a cross-validation; 0 for none.
        pruner: ends trials that are not promising; None ends none.
        monitor: logged value that says how good a run is.
        mode: min or max.
        name: pattern of the names of runs.
    """

    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    space: Mapping[str, Choice | Number] = field(default_factory=dict)
    trials: int = 0
    seeds: tuple[int, ...] = ()
    folds: int = 0
    pruner: Literal["median", "hyperband"] | None = None
    monitor: str | None = None
    mode: Literal["min", "max"] = "min"
    name: str = ""


def read_definition(tree: Tree, first_seed: int) -> Definition:
    """Return the definition in a tree.

    Args:
        tree: what the yaml contains.
        first_seed: seed of the experiment, the first of `seeds: N`.

    Raises:
        ConfigError: a key is unknown, or a value is not valid.
    """
    grid = {path: tuple(values) for path, values in tree.get("grid", {}).items()}
    if not grid:
        raise ConfigError("a sweep needs `grid` or `space`")
    count = int(tree.get("seeds", 0))
    return Definition(grid, seeds=tuple(range(first_seed, first_seed + count)))
