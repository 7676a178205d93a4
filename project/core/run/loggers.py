"""Loggers of a resumed run: files go on where the checkpoint was saved, and trackers with the same run id.

A checkpoint contains a state of each logger. That of a tracker (a logger whose constructor takes a run id) is its
`version`; that of any other logger is what its method `state_dict` returns, if it has one.
"""

import os
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger, WandbLogger

from project.core.config.annotations import parameters_of
from project.core.csv_logger import CSVLogger
from project.core.errors import ConfigError
from project.core.trackers import NAME_ARGUMENTS, log_settings

States = Mapping[str, Mapping[str, Any]]  # by name of the logger
# WandbLogger, MLFlowLogger, CometLogger
_RUN_ID_ARGUMENTS = ("id", "run_id", "experiment_key")
_RESUME = "resume"  # with `allow`, wandb continues a run; by default its server overwrites the run
_ID, _ROWS = "id", "rows"  # stored: keys of the states


def set_run_ids(given: Any, states: States, run: str) -> None:
    """Add to the trackers of a typed configuration what it does not say: run ids of an earlier start, or names.

    Args:
        given: `trainer.logger`.
        states: states of the loggers in the checkpoint of a run that resumes in its directory.
        run: name of the run, which new runs of trackers get.
    """
    specs = [spec for spec in (given if isinstance(given, list) else [given]) if hasattr(spec, "class_path")]
    paths = [spec.class_path.rpartition(".") for spec in specs]
    classes = [getattr(import_module(module), name) for module, _, name in paths]
    for spec, cls, name in zip(specs, classes, _number(classes), strict=True):
        argument, value = _run_id_argument(cls), states.get(name, {}).get(_ID)
        if value is None:
            argument, value = next((each for base, each in NAME_ARGUMENTS.items() if issubclass(cls, base)), None), run
        if argument is not None and spec.init_args.get(argument) is None:
            spec.init_args[argument] = value
        # Given here, because it is an argument of wandb.init, not of WandbLogger, whose default would be null.
        if issubclass(cls, WandbLogger) and _RESUME in spec.init_args and spec.init_args[_RESUME] is None:
            spec.init_args[_RESUME] = "allow"


def record_settings(trainer: pl.Trainer, directory: Path, config: Mapping[str, Any], states: States) -> None:
    """Log the configuration to the trackers: MLflow's run keeps that of its first start.

    Args:
        trainer: the trainer.
        directory: the run directory.
        config: the whole configuration.
        states: states of the loggers in the checkpoint of a run that resumes in its directory.
    """
    for name, logger in _by_name(trainer, directory).items():
        if _run_id_argument(type(logger)) and trainer.is_global_zero:
            log_settings(logger, config, is_resumed=name in states)


def check_loggers(trainer: pl.Trainer, directory: Path) -> None:
    """Raise ConfigError if a CSVLogger of a new run would continue the file of another run or logger."""
    files = [logger.file.path.absolute() for logger in trainer.loggers if isinstance(logger, CSVLogger)]
    for path in files:
        if files.count(path) > 1:
            raise ConfigError(f"trainer.logger: two CSVLoggers write {path}; set `name` of one of them")
        if path.exists() and not path.is_relative_to(directory):
            raise ConfigError(
                f"trainer.logger: {path} already exists; remove it, or use another `save_dir`, `name` or `version`"
            )


def logger_states(trainer: pl.Trainer, directory: Path) -> dict[str, dict[str, Any]]:
    """Return the states of a trainer's loggers by name; those of ranks other than 0 are not saved."""
    if not trainer.is_global_zero:
        return {}
    return {name: state for name, logger in _by_name(trainer, directory).items() if (state := _state(logger))}


def restore_loggers(trainer: pl.Trainer, directory: Path, states: States, step: int, archive: Path | None) -> None:
    """Return the loggers of a resumed run to the states in which its checkpoint was saved.

    Args:
        trainer: the trainer.
        directory: the run directory.
        states: states of the loggers in the checkpoint.
        step: step of the checkpoint.
        archive: directory for copies of the files that are cut; None makes none.
    """
    for name, logger in _by_name(trainer, directory).items():
        state = states.get(name, {})
        if isinstance(logger, CSVLogger):
            if trainer.is_global_zero:
                copy = archive / name.replace("..", "_").lstrip("/") if archive else None
                logger.file.rewind(state.get(_ROWS), step, copy)
        elif state and hasattr(logger, "load_state_dict"):
            logger.load_state_dict(state)


def _state(logger: Logger) -> dict[str, Any]:
    if isinstance(logger, CSVLogger):
        logger.save()
        return {_ROWS: logger.file.num_rows}
    if hasattr(logger, "state_dict"):
        return dict(logger.state_dict())
    return {_ID: logger.version} if _run_id_argument(type(logger)) else {}


def _by_name(trainer: pl.Trainer, directory: Path) -> dict[str, Logger]:
    """Return the loggers: a CSVLogger by the path of its file, others by class and number (`WandbLogger.0`)."""
    names = _number([type(logger) for logger in trainer.loggers])
    return {
        os.path.relpath(logger.file.path, directory) if isinstance(logger, CSVLogger) else name: logger
        for name, logger in zip(names, trainer.loggers, strict=True)
    }


def _number(classes: Iterable[type]) -> list[str]:
    names = [cls.__name__ for cls in classes]
    return [f"{name}.{names[:i].count(name)}" for i, name in enumerate(names)]


def _run_id_argument(cls: type) -> str | None:
    """Return the argument of a tracker's constructor that takes a run id; None for other loggers."""
    return next((argument for argument in _RUN_ID_ARGUMENTS if argument in parameters_of(cls)), None)
