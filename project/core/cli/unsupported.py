"""What of Lightning a run refuses, and why. docs/lightning.md lists it for users, and what works."""

import inspect
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    BackboneFinetuning,
    BaseFinetuning,
    BasePredictionWriter,
    BatchSizeFinder,
    Callback,
    Checkpoint,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    OnExceptionCheckpoint,
    ProgressBar,
    StochasticWeightAveraging,
    WeightAveraging,
)
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins import AsyncCheckpointIO
from pytorch_lightning.profilers import Profiler
from pytorch_lightning.strategies import DDPStrategy, Strategy, StrategyRegistry
from torch.distributed import is_backend_available

from project.core.config.entry_checks import join_path
from project.core.errors import ConfigError, did_you_mean, join_names, normalize
from project.core.training.lightning_internals.access import copies_process
from project.core.training.lightning_internals.names import Feature, is_available
from project.registry import Registry

_ENTRIES: Mapping[str, type] = {"callbacks": Callback, "logger": Logger, "profiler": Profiler, "strategy": Strategy}
_BASES = (BaseFinetuning, BasePredictionWriter, Callback, Checkpoint, ProgressBar)
# By class, which includes its subclasses.
_CALLBACKS: Mapping[type[Callback], str] = {
    BackboneFinetuning: "a resumed run would not train the backbone; use model.groups with `freeze: {until_epoch: N}`",
    BatchSizeFinder: "config.yaml would not contain the size that it finds; set data.batch_size",
    LearningRateFinder: "config.yaml would not contain the rate that it finds; set model.optimizer.lr",
    ModelPruning: "checkpoints contain neither its masks nor its last pruning; "
    "prune the net of a finished run with torch.nn.utils.prune",
    OnExceptionCheckpoint: "a new run would start from the file of an earlier one; lower checkpoint.save_time",
    StochasticWeightAveraging: "no checkpoint would contain the averaged weights; "
    "use model.ema, WeightAveraging or EMAWeightAveraging",
}
# By class, of which a run has at most one.
_SINGLE: Mapping[type[Callback], str] = {
    WeightAveraging: "replace the weights",
    GradientAccumulationScheduler: "set the number of batches per step",
}
_SPLIT, _TPU = "models split over devices are not supported, use ddp", "TPUs are not supported"
# By the start of a name of a strategy, plugin, profiler or accelerator, without case and underscores.
_FAMILIES = {
    **dict.fromkeys(("fsdp", "deepspeed", "modelparallel"), _SPLIT),
    **dict.fromkeys(("xla", "singledevicexla", "singlexla", "singletpu", "tpu"), _TPU),
}


def check_arguments(trainer: Mapping[str, Any], is_fit: bool) -> None:
    """Check the arguments of the trainer before any of them is built.

    Args:
        trainer: the arguments, with entries as `{class_path: ..., init_args: ...}`.
        is_fit: whether the stage is fit; a checkpoint of an older version may be evaluated whatever trained it.

    Raises:
        ConfigError: one of them is not supported.
    """
    for key in ("accelerator", "strategy", "profiler", "plugins"):
        for path, name in _names(trainer.get(key), f"trainer.{key}"):
            reason = next((why for start, why in _FAMILIES.items() if normalize(name).startswith(start)), None)
            if reason is not None:
                raise ConfigError(f"{path} is {name}; {reason}")
    if is_fit:
        _check_lengths(trainer)
    strategy = trainer.get("strategy")
    if isinstance(strategy, str):
        _check_strategy_name(strategy)
    for key, base in _ENTRIES.items():
        for path, class_path in _class_paths(trainer.get(key), f"trainer.{key}"):
            _check_class(Registry.by_base[base].resolve(class_path, path), path, is_fit)


def check_trainer(trainer: pl.Trainer) -> None:
    """Raise ConfigError if a trainer starts processes or writes files in a way that is not supported."""
    # These processes have neither the run's log nor its signal handlers, and return the weights in a file of their own.
    if copies_process(trainer):
        raise ConfigError(
            "trainer.strategy starts processes by fork or spawn, which is not supported; "
            "use ddp, which repeats the command for each process"
        )
    backend = trainer.strategy.process_group_backend if isinstance(trainer.strategy, DDPStrategy) else None
    is_on_cpu = trainer.strategy.root_device.type == "cpu"
    if backend is not None and (not is_backend_available(backend) or (backend == "nccl" and is_on_cpu)):
        raise ConfigError(
            f"trainer.strategy.process_group_backend is {backend!r}, which is not available; leave it out"
        )
    # `last.ckpt` and `best.ckpt` become links to a file as soon as it is saved; this plugin would write it later.
    if isinstance(trainer.strategy.checkpoint_io, AsyncCheckpointIO):
        raise ConfigError("trainer.plugins has an AsyncCheckpointIO; leave it out: a run's own writer is asynchronous")


def check_callbacks(callbacks: list[Callback], checkpoints: Path) -> None:
    """Check that callbacks of the yaml do not disturb each other and the run.

    Args:
        callbacks: the callbacks.
        checkpoints: directory of the run's own checkpoints.

    Raises:
        ConfigError: two callbacks set the same thing, or one would write into `checkpoints`.
    """
    for base, effect in _SINGLE.items():
        names = [type(callback).__name__ for callback in callbacks if isinstance(callback, base)]
        if len(names) > 1:
            raise ConfigError(f"trainer.callbacks has {join_names(names)}; only one can {effect}: keep one")
    for number, callback in enumerate(callbacks):
        if isinstance(callback, ModelCheckpoint) and callback.dirpath and Path(callback.dirpath) == checkpoints:
            raise ConfigError(
                f"trainer.callbacks.{number} ({type(callback).__name__}) has the dirpath of the run's own checkpoints; "
                "leave it out, or use another"
            )


def check_skipped_steps(skipped: Collection[int], module: pl.LightningModule) -> None:
    """Check that steps can be left out; called after the private names were checked.

    Args:
        skipped: the steps (`skip_steps`).
        module: the module.

    Raises:
        ConfigError: the module steps its optimizers or fetches its batches itself, or the installed Lightning cannot.
    """
    if not skipped:
        return
    name = type(module).__name__
    if not module.automatic_optimization:
        raise ConfigError(f"skip_steps cannot leave out a step of {name}, which steps its optimizers itself")
    if "dataloader_iter" in inspect.signature(module.training_step).parameters:
        raise ConfigError(f"skip_steps cannot leave out a step of {name}, which fetches its batches itself")
    if not (is_available(Feature.SKIPPED_STEPS) and is_available(Feature.EXACT_LOOPS)):
        raise ConfigError(f"skip_steps: {Feature.SKIPPED_STEPS.value}; install the versions of constraints.txt")


def _check_lengths(trainer: Mapping[str, Any]) -> None:
    for unit in ("epochs", "steps"):
        least, most = trainer.get(f"min_{unit}"), trainer.get(f"max_{unit}")
        if least is not None and most not in (None, -1) and least > most:
            raise ConfigError(
                f"trainer.min_{unit} is {least}, but trainer.max_{unit} is {most}: the run would end before it"
            )


def _check_strategy_name(name: str) -> None:
    if name.lower() in ("auto", *StrategyRegistry):
        return
    known = [
        each
        for each, strategy in StrategyRegistry.items()
        if not normalize(each).startswith(tuple(_FAMILIES))
        and strategy["init_params"].get("start_method", "popen") == "popen"
    ]
    raise ConfigError(
        f"trainer.strategy: no strategy is called '{name}'{did_you_mean(name, known)}\n"
        f"known: auto, {join_names(known)}, or a class with its arguments: {{type: DDPStrategy}}"
    )


def _check_class(cls: type, path: str, is_fit: bool) -> None:
    if cls in _BASES:
        raise ConfigError(f"{path} is {cls.__name__}, a base class that does nothing by itself; name a subclass of it")
    reason = next((why for refused, why in _CALLBACKS.items() if issubclass(cls, refused)), None)
    if reason is not None and is_fit:
        raise ConfigError(f"{path} is {cls.__name__}; {reason}")


def _names(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield the config path and name of each text or entry in an argument; that of a class is without its module."""
    if isinstance(value, str):
        yield path, value.rpartition(".")[2]
    for inner, class_path in _class_paths(value, path):
        yield inner, class_path.rpartition(".")[2]


def _class_paths(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield the config path and class path of an entry, or of each entry in a list."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _class_paths(item, join_path(path, number))
    elif isinstance(value, Mapping) and isinstance(value.get("class_path"), str):
        yield path, value["class_path"]
