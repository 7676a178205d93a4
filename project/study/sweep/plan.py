"""The runs of a trial: their names, and the settings in which they differ from the experiment's yaml."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from project.core.config.yaml_files import Tree
from project.study.sweep.definition import Definition


@dataclass(frozen=True)
class Trial:
    """Values of the settings that a sweep changes; its runs differ in seed and fold.

    Args:
        number: number of the trial, from 0.
        settings: the values by config path.
    """

    number: int
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class PlannedRun:
    """A run of a sweep, started or not.

    Args:
        name: name of the run directory in ROOT/SWEEP.
        trial: its trial.
        seed: its seed; None for that of the yaml.
        fold: its fold; None without folds.
    """

    name: str
    trial: Trial
    seed: int | None = None
    fold: int | None = None


def grid_trials(definition: Definition) -> list[Trial]:
    """Return a trial for each combination of the values of a grid."""
    combinations = product(*definition.grid.values())
    return [Trial(number, dict(zip(definition.grid, each, strict=True))) for number, each in enumerate(combinations)]


def runs_of(trial: Trial, definition: Definition) -> Iterator[PlannedRun]:
    """Yield the runs of a trial: one for each seed and fold."""
    for seed in definition.seeds or (None,):
        for fold in range(definition.folds) if definition.folds else (None,):
            name = f"{trial.number:04d}"
            name += "" if seed is None else f"_seed{seed}"
            name += "" if fold is None else f"_fold{fold}"
            yield PlannedRun(name, trial, seed, fold)


def options_of(run: PlannedRun, definition: Definition, experiment: Tree) -> list[str]:
    """Return the options with which `fit` trains a run, after those of the experiment.

    Args:
        run: the run.
        definition: the sweep.
        experiment: the merged tree of the experiment, which contains the datasets of type Fold.
    """
    settings = dict(run.trial.settings)
    if run.seed is not None:
        settings["seed"] = run.seed
    if definition.monitor is not None:
        settings |= {"checkpoint.monitor": definition.monitor, "checkpoint.mode": definition.mode}
    return [word for path, value in settings.items() for word in (f"--{path}", str(value))]
