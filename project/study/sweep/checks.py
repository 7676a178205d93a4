"""Checks of a sweep before its first run: `fit` takes every value of a setting, and the monitor is logged."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers.logger import DummyLogger

from project.core.cli.arguments import merge_order, parse_arguments
from project.core.cli.building import build_training_set
from project.core.cli.stage_building import build_stage
from project.core.cli.stages import StageCLI
from project.core.config.configuration import build_config
from project.core.config.yaml_files import Tree, merge_all, nest
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError
from project.core.run.logged_values import why_never_logged
from project.core.run.monitor import MonitorCheck
from project.study.sweep.definition import Choice, Definition, equals
from project.study.sweep.folds import fold_settings
from project.study.sweep.plan import Trial, check_names, options_of, run_settings, runs_of, shown_value


class SweepCheck:
    """Check of a sweep. It runs no training, but uses torch, so that it belongs in a process of its own.

    Args:
        definition: the sweep.
        experiment: the merged tree of the experiment.
        options: the options of the experiment, for `fit`.
    """

    def __init__(self, definition: Definition, experiment: Tree, options: Sequence[str]) -> None:
        self.definition, self.experiment, self.options = definition, experiment, options
        self._training_sets: dict[str, object] = {}

    def check(self) -> None:
        """Check the values of all settings, and build the first run.

        Raises:
            ConfigError: a value is not one that `fit` takes, or no value is called as the monitored one.
        """
        self.check_values()
        with TemporaryDirectory() as root:
            self.check_first_run(root)

    def check_values(self) -> None:
        """Check each value of each setting, with the first values of the others.

        That is equivalent to all combinations, except for values which only fail together.
        """
        first = next(iter(assignments(self.definition)))[1]
        self._check_first(first)
        for path, settings in assignments(self.definition):
            if settings != first:
                try:
                    self._build(settings)
                except ConfigError as error:
                    raise self._mistake(path, settings, error) from error

    def check_first_run(self, root: str) -> None:
        """Build the first run as `fit` does, and stop before its first step.

        Args:
            root: an empty directory, in which the run directory is created.
        """
        trial = Trial(0, next(iter(assignments(self.definition)))[1])
        run = next(runs_of(trial, self.definition))
        options = [
            *self.options,
            *options_of(run, self.definition, self.experiment),
            "--root",
            root,
            "--name",
            run.name,
        ]
        arguments = parse_arguments(["fit", *options])
        try:
            with ExitStack() as stack:
                self._start(build_stage(arguments, arguments.read_files(), Interruption(), stack, None), stack)
        except ConfigError as error:
            raise ConfigError(self._in_words_of_sweep(str(error), run.name)) from error

    def _start(self, stage: StageCLI, stack: ExitStack) -> None:
        """Start a training, whose names are checked before its first step, and end it there."""
        policy = stage.training_run.policy
        if policy is None:
            raise ConfigError(
                "a sweep needs the checkpoints of its runs; set trainer.enable_checkpointing and fast_dev_run to null"
            )
        monitor = self.definition.monitor or policy.monitor
        if monitor is None and (self.definition.space or self.definition.pruner):
            raise ConfigError("a sweep needs a value that says how good a run is; set sweep.monitor, or data.val")
        trainer: pl.Trainer = stage.trainer
        if trainer.world_size > 1:
            return  # the processes would be started
        check = next(number for number, each in enumerate(trainer.callbacks) if isinstance(each, MonitorCheck))  # type: ignore[attr-defined]
        trainer.loggers = [DummyLogger()]  # others may create a run on a server
        end = _End(monitor, stage)
        trainer.callbacks.insert(check + 1, end)  # type: ignore[attr-defined]
        try:
            stage.training_run.train(trainer, stage.model, stage.datamodule, stack)
        except _Ended:
            return

    def _check_first(self, settings: Mapping[str, Any]) -> None:
        """Check the first values of all settings; a mistake is that of a setting without which there is another one."""
        try:
            self._build(settings)
        except ConfigError as error:
            for path in settings:
                others = {name: value for name, value in settings.items() if name != path}
                if self._message(others) != str(error):
                    raise self._mistake(path, settings, error) from error
            raise

    def _message(self, settings: Mapping[str, Any]) -> str:
        """Return what is wrong with a configuration; empty if nothing is."""
        try:
            self._build(settings)
        except ConfigError as error:
            return str(error)
        return ""

    def _build(self, settings: Mapping[str, Any]) -> None:
        run = next(runs_of(Trial(0, settings), self.definition))
        changes = run_settings(run, self.definition, self.experiment)
        ordered = sorted(changes.items(), key=lambda item: merge_order(item[0]))  # as options are
        trees = [self.experiment, *(nest(path, value) for path, value in ordered), {"name": run.name}]
        build_config(merge_all(trees), self._build_training_set)

    def _build_training_set(self, tree: Tree) -> object:
        """Build the training set that values refer to, once for all runs with the same."""
        key = repr(tree)
        if key not in self._training_sets:
            self._training_sets[key] = build_training_set(tree)
        return self._training_sets[key]

    def _mistake(self, path: str, settings: Mapping[str, Any], error: ConfigError) -> ConfigError:
        kind = "grid" if self.definition.grid else "space"
        return ConfigError(f"sweep.{kind}.{path} = {shown_value(settings[path])}: {error}")

    def _in_words_of_sweep(self, text: str, name: str) -> str:
        """Return the message of a run, about the setting of the sweep that is wrong."""
        if self.definition.monitor is not None:
            for key in ("monitor", "mode"):
                if text.startswith(f"checkpoint.{key}"):
                    return text.replace(f"checkpoint.{key}", f"sweep.{key}", 1)
        return text if text.startswith(("sweep.", "a sweep")) else f"run {name}: {text}"


class _Ended(Exception):
    """The end of a training whose start was all that was wanted."""


class _End(Callback):
    """Callback that ends a training before its first step, after the names of monitored values were checked.

    Args:
        name: name of the value that says how good a run is; None for none.
        stage: the stage.
    """

    def __init__(self, name: str | None, stage: StageCLI) -> None:
        self.name, self.stage = name, stage

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.name is not None:
            split = self.name.partition("/")[0]
            reason = why_never_logged(split, trainer, self.stage.training_run.settings.evaluation)
            if reason is not None:
                raise ConfigError(f"checkpoint.monitor: '{self.name}' is never logged: {reason}")
        raise _Ended


def check_definition(definition: Definition, experiment: Tree, given: Sequence[Tree]) -> None:
    """Check what needs no configuration of a run: names, folds, and options that contradict the sweep.

    Args:
        definition: the sweep.
        experiment: the merged tree of the experiment.
        given: the settings of the command line.

    Raises:
        ConfigError: there is a mistake.
    """
    check_names(definition)
    kind = "grid" if definition.grid else "space"
    paths = dict.fromkeys(definition.paths, f"sweep.{kind}")
    if definition.folds:
        fold = fold_settings(experiment, {}, definition.folds, 0)
        if twice := next((path for path in fold if path in paths), None):
            raise ConfigError(f"sweep.{kind}.{twice}: sweep.folds sets it; remove one of them")
        paths |= dict.fromkeys(fold, "sweep.folds")
    if definition.monitor is not None:
        paths |= {"checkpoint.monitor": "sweep.monitor", "checkpoint.mode": "sweep.mode"}
    for tree in given:
        option = _path_of(tree)
        if option == "seed" and definition.seeds and not equals(definition.seeds[0], tree["seed"]):
            raise ConfigError("--seed changes nothing: sweep.seeds is a list; remove one of them")
        for path, owner in paths.items():
            if f"{option}.".startswith(f"{path}."):
                raise ConfigError(f"--{option} changes what {owner} sets; remove one of them")


def assignments(definition: Definition) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each setting and its values, one at a time, with the first values of the other settings.

    Of a number in a space, these are its bounds. Settings whose condition is not met are left out.
    """
    if not definition.paths:
        yield "", {}
    for path in definition.paths:
        for value in _values(definition, path):
            yield path, _complete(definition, _with_conditions(definition, path, value))


def _values(definition: Definition, path: str) -> tuple[Any, ...]:
    if path in definition.grid:
        return definition.grid[path]
    entry = definition.space[path]
    return entry.values if isinstance(entry, Choice) else (entry.low, entry.high)


def _with_conditions(definition: Definition, path: str, value: object) -> dict[str, Any]:
    """Return a value of a setting, with those of the settings that its condition names."""
    fixed = {path: value}
    for other, needed in definition.space[path].when.items() if path in definition.space else ():
        fixed |= _with_conditions(definition, other, needed)
    return fixed


def _complete(definition: Definition, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of all settings whose conditions are met, of which some are fixed."""
    settings: dict[str, Any] = {}
    for path in definition.paths:
        when = definition.space[path].when if path in definition.space else {}
        if all(name in settings and settings[name] == needed for name, needed in when.items()):
            settings[path] = fixed[path] if path in fixed else _values(definition, path)[0]
    return settings


def _path_of(tree: Tree) -> str:
    """Return the config path of an option, whose tree has one key at each level."""
    path, value = [], tree
    while isinstance(value, dict) and len(value) == 1:
        ((key, value),) = value.items()
        path.append(str(key))
    return ".".join(path)
