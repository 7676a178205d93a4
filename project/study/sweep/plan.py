"""The runs of a trial: their names, and the settings in which they differ from the experiment's yaml."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from string import Formatter
from typing import Any

from project.core.config.untyped_dump import dump_flow
from project.core.config.yaml_files import Tree, flatten
from project.core.errors import ConfigError, did_you_mean, join_names
from project.core.file_names import check_file_name
from project.study.columns import short_names, unique_ends
from project.study.sweep.definition import Choice, Definition
from project.study.sweep.folds import fold_settings

_RESERVED = ("sweep", "out_of_fold")  # names of files and directories of the sweep itself


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
    pattern = definition.name or _default_name(definition)
    values = {
        path: shown_value(trial.settings[path]) if path in trial.settings else "none" for path in definition.paths
    }
    fields = {end: values[path] for path, ends in unique_ends(definition.paths).items() for end in ends}
    fields["trial"] = f"{trial.number:04d}"
    for seed in definition.seeds or (None,):
        for fold in range(definition.folds) if definition.folds else (None,):
            name = "".join(
                text + (fields | {"seed": str(seed), "fold": str(fold)})[key] if key is not None else text
                for text, key, _, _ in Formatter().parse(pattern)
            )
            yield PlannedRun(name, trial, seed, fold)


def check_names(definition: Definition) -> None:
    """Check that the pattern of names gives each run a name of its own, which a directory can have.

    Raises:
        ConfigError: it does not.
    """
    _check_pattern(definition)
    trials = list(_trials_of_choices(definition)) if definition.space else grid_trials(definition)
    runs = [run for trial in trials for run in runs_of(trial, definition)]
    for run in runs:
        check_file_name(run.name, "sweep.name: the name")
        if run.name in _RESERVED:
            raise ConfigError(f"sweep.name: no run can be called '{run.name}', which the sweep itself uses")
    name, count = Counter(run.name for run in runs).most_common(1)[0] if not definition.space else ("", 1)
    if count > 1:
        raise ConfigError(f"sweep.name is {definition.name!r}, which calls {count} runs '{name}'; add {{trial}}")


def shown_value(value: object) -> str:
    """Return a value as tables and names show it; of an entry, the type comes first: `MLP,hidden=64`."""
    if isinstance(value, dict):
        first = [str(value["type"])] if "type" in value else []
        return ",".join([*first, *(f"{key}={item}" for key, item in flatten(value).items() if key != "type")])
    if isinstance(value, list):
        return ",".join(map(shown_value, value))
    return dump_flow(value) if not isinstance(value, str) else str(value)


def options_of(run: PlannedRun, definition: Definition, experiment: Tree) -> list[str]:
    """Return the options with which `fit` trains a run, after those of the experiment.

    Args:
        run: the run.
        definition: the sweep.
        experiment: the merged tree of the experiment, which contains the datasets of type Fold.
    """
    settings = run_settings(run, definition, experiment)
    return [word for path, value in settings.items() for word in (f"--{path}", dump_flow(value))]


def run_settings(run: PlannedRun, definition: Definition, experiment: Tree) -> Tree:
    """Return the values in which a run differs from its experiment, by config path."""
    settings = dict(run.trial.settings)
    if run.seed is not None:
        settings["seed"] = run.seed
    if definition.monitor is not None:
        settings |= {"checkpoint.monitor": definition.monitor, "checkpoint.mode": definition.mode}
    if run.fold is not None:
        settings |= fold_settings(experiment, settings, definition.folds, run.fold)
    return settings


def _default_name(definition: Definition) -> str:
    return "{trial}" + "_seed{seed}" * bool(definition.seeds) + "_fold{fold}" * bool(definition.folds)


def _check_pattern(definition: Definition) -> None:
    pattern = definition.name or _default_name(definition)
    try:
        parsed = [*Formatter().parse(pattern)]
    except ValueError as error:
        raise ConfigError(f"sweep.name is {pattern!r}: {error}; a literal {{ is {{{{") from error
    varied = ["seed"] * bool(definition.seeds) + ["fold"] * bool(definition.folds)
    known = ["trial", *varied, *(end for ends in unique_ends(definition.paths).values() for end in ends)]
    used = {key for _, key, _, _ in parsed if key is not None}
    for _, key, spec, conversion in parsed:
        if key is not None and key not in known:
            shown = [*known[: 1 + len(varied)], *short_names(definition.paths).values()]
            near = did_you_mean(key, shown)
            raise ConfigError(f"sweep.name has {{{key}}}, which is no setting{near}\nknown: {join_names(shown)}")
        if spec or conversion:
            raise ConfigError(f"sweep.name is {pattern!r}; what is between {{ and }} is only a name, without ! or :")
    if definition.space:
        varied.append("trial")
    numbers = {"seed": len(definition.seeds), "fold": definition.folds, "trial": 2}
    if missing := next((key for key in varied if key not in used and numbers[key] > 1), None):
        raise ConfigError(f"sweep.name is {pattern!r}, which calls several runs the same; add {{{missing}}}")


def _trials_of_choices(definition: Definition) -> Iterator[Trial]:
    """Yield a trial for each value of each choice of a space."""
    for path, entry in definition.space.items():
        for value in entry.values if isinstance(entry, Choice) else (entry.low, entry.high):
            yield Trial(0, {path: value})
