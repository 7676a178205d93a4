"""Building the trainer of a stage."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, ModelSummary, ProgressBar, SpikeDetection
from pytorch_lightning.loggers import CSVLogger as LightningCSVLogger
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.profilers import Profiler

from project.core.cli.model_summary import ModelLine
from project.core.cli.progress import ProgressBar as EngineProgressBar
from project.core.cli.progress import is_terminal
from project.core.cli.unsupported import check_callbacks, check_trainer
from project.core.config.settings import Settings
from project.core.distributed.cluster import apply_cluster, check_sync_batchnorm
from project.core.errors import ConfigError
from project.core.tensorboard import DedupTensorBoardLogger
from project.core.training.lightning_internals.access import set_timeout
from project.core.training.lightning_internals.averaging import UnstartedAverages
from project.core.training.lightning_internals.hooks import NoProfiler, PrepareHooks
from project.core.training.lightning_internals.names import check_private_names
from project.core.training.step_seeding import StepSeeds
from project.core.training.stopping import Trainer

# Matched: what Lightning says of an accelerator that the machine does not have.
_NO_DEVICE = ("No supported gpu backend found", "can not run on your system")


def build_trainer(
    arguments: dict[str, Any],
    settings: Settings,
    directory: Path,
    module: pl.LightningModule,
    first_callbacks: list[Callback],
    last_callbacks: list[Callback],
    is_fit: bool,
) -> pl.Trainer:
    """Return a trainer.

    Args:
        arguments: arguments of the yaml.
        settings: settings of the run.
        directory: the run directory.
        module: the module that the trainer will run.
        first_callbacks: callbacks of the stage that are called before those of the yaml.
        last_callbacks: callbacks of the stage that are called after them.
        is_fit: whether the stage is fit.

    Raises:
        ConfigError: Lightning refuses the arguments, or they contradict Slurm or torchrun.
    """
    arguments = dict(arguments)
    given = as_list(arguments["callbacks"])
    check_callbacks(given, directory / "checkpoints")
    for callback in given:
        _prepare_callback(callback, directory)
    own_bar = any(isinstance(callback, ProgressBar) for callback in given)
    if arguments["enable_progress_bar"] is None:
        arguments["enable_progress_bar"] = own_bar or is_terminal()
    bar = [EngineProgressBar()] if arguments["enable_progress_bar"] and not own_bar else []
    has_summary = arguments["enable_model_summary"] is False or any(isinstance(each, ModelSummary) for each in given)
    summary = [] if has_summary or not is_fit else [ModelLine()]
    arguments["enable_model_summary"] = False  # Lightning adds none of its own
    before = [PrepareHooks(), StepSeeds(settings.seed), *first_callbacks, UnstartedAverages(), *summary]
    arguments["callbacks"] = [*before, *given, *bar, *last_callbacks]
    arguments["logger"] = _loggers(arguments["logger"], directory) if is_fit else False
    if arguments["default_root_dir"] is None:
        arguments["default_root_dir"] = str(directory)
    profiler = arguments["profiler"] = arguments["profiler"] or NoProfiler()
    if isinstance(profiler, Profiler) and profiler.dirpath is None:
        profiler.dirpath = directory / "profile"
    apply_cluster(arguments, os.environ, is_fit)
    try:
        trainer = Trainer(**arguments)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        is_missing = any(text in str(error) for text in _NO_DEVICE)
        advice = "\nWithout one, use the CPU: --config configs/presets/cpu.yaml" if is_missing else ""
        raise ConfigError(f"trainer: {error}{advice}") from error
    check_sync_batchnorm(trainer, arguments["sync_batchnorm"])
    check_private_names(trainer, module)
    check_trainer(trainer)
    set_timeout(trainer, timedelta(seconds=settings.timeout))
    return trainer


def for_export(is_double: bool) -> dict[str, Any]:
    """Return the arguments that `export` sets, whatever the yaml says: an exported model computes like this.

    Args:
        is_double: whether the weights are in float64.
    """
    return {
        "accelerator": "cpu",
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
        "precision": "64-true" if is_double else "32-true",
        "plugins": None,
        "callbacks": None,
        "profiler": None,
        "fast_dev_run": False,
        "barebones": False,
        "sync_batchnorm": False,
        "inference_mode": False,  # torch.export does not trace tensors of it
    }


def _prepare_callback(callback: Callback, directory: Path) -> None:
    if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
        # Lightning's default depends on the loggers; without one, it is the directory of the run's own checkpoints.
        callback.dirpath = str(directory / "event" / "checkpoints")
    if isinstance(callback, SpikeDetection) and not hasattr(callback, "running"):
        # `SpikeDetection.load_state_dict` looks for it under this name, and would fail at a resume.
        callback.running = callback.running_mean  # type: ignore[attr-defined]


def _loggers(given: object, directory: Path) -> list[Logger] | bool:
    """Return the loggers of the yaml and TensorBoard; none for `trainer.logger: false`.

    Raises:
        ConfigError: a logger would delete its file when the run is resumed.
    """
    if given is False:
        return False
    loggers = [] if given is True else as_list(given)
    for logger in loggers:
        if getattr(type(logger), "experiment", None) is LightningCSVLogger.experiment:
            raise ConfigError(
                f"trainer.logger: {type(logger).__name__} deletes its file when a run is resumed\n"
                "Use `type: CSVLogger`, or derive from project.core.csv_logger.CSVLogger"
            )
    if not any(isinstance(logger, TensorBoardLogger) for logger in loggers):
        loggers.append(DedupTensorBoardLogger(directory))
    return loggers


def as_list(value: object) -> list[Any]:
    """Return an argument of the trainer that is null, an object or several objects, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
