"""What of a run a replay leaves out: validations that change nothing, and callbacks that only look."""

from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    Callback,
    DeviceStatsMonitor,
    EarlyStopping,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelSummary,
    RichModelSummary,
    RichProgressBar,
    SpikeDetection,
    ThroughputMonitor,
    Timer,
    TQDMProgressBar,
    WeightAveraging,
)
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from project.core.config.yaml_files import Tree
from project.core.data.datamodule import DataModule
from project.core.model.module import SupervisedModule
from project.core.training.debugging import GradientMonitor, NonFiniteStop
from project.core.training.spikes import StopAtSpike

# Callbacks that change nothing of the training but its end, and write files, measure time or show something.
_DROPPED = (
    *(ModelCheckpoint, Timer, DeviceStatsMonitor, ThroughputMonitor, SpikeDetection, NonFiniteStop, StopAtSpike),
    *(ModelSummary, RichModelSummary, TQDMProgressBar, RichProgressBar),
)
# Callbacks that do the same whether or not there are validations.
_WITHOUT_VALIDATION = (
    *(GradientMonitor, EMAWeightAveraging, WeightAveraging),
    *(GradientAccumulationScheduler, LearningRateMonitor),
)
_PLATEAU = "ReduceLROnPlateau"


class Needs(NamedTuple):
    """What later steps of a training may depend on.

    Args:
        validation: whether they may depend on validations.
        evaluation: whether they may depend on evaluations during training (`evaluation`).
    """

    validation: bool
    evaluation: bool


class ChangedByEvaluation(Exception):
    """A module is changed by its forward pass in evaluation mode, so that validations belong to the training."""


class EvaluationProbe(Callback):
    """Callback that checks with the first batch that an evaluation does not change the module.

    Raises:
        ChangedByEvaluation: it does, or fails.
    """

    def __init__(self) -> None:
        self._is_done = False

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self._is_done:
            return
        self._is_done = True
        before, modes = _state_of(pl_module), [(part, part.training) for part in pl_module.modules()]
        try:
            with isolate_rng(), torch.no_grad(), trainer.precision_plugin.val_step_context():
                pl_module.eval()
                pl_module.loss_values(batch, pl_module(batch))
        except Exception as error:
            raise ChangedByEvaluation from error
        for part, mode in modes:
            part.training = mode
        if not _is_same(before, _state_of(pl_module)):
            raise ChangedByEvaluation


def is_dropped(callback: Callback) -> bool:
    """Return whether a replay leaves out a callback of the yaml; subclasses may do more, and are kept."""
    return type(callback) in _DROPPED


def find_needs(
    callbacks: list[Callback], module: pl.LightningModule, data: pl.LightningDataModule, tree: Tree
) -> Needs:
    """Return what a training may depend on: on everything, unless all its parts are known.

    Args:
        callbacks: callbacks of the yaml that are not dropped.
        module: the module.
        data: the data module.
        tree: the configuration.
    """
    is_known = type(module) is SupervisedModule and type(data) is DataModule and not module.compile_net
    stops = [callback for callback in callbacks if type(callback) is EarlyStopping]
    others = [callback for callback in callbacks if callback not in stops]
    if not is_known or any(type(callback) not in _WITHOUT_VALIDATION for callback in others):
        return Needs(True, True)
    scheduler = repr(tree["model"].get("scheduler"))
    has_plateau = _PLATEAU in scheduler
    reads_evaluation = any(stop.monitor.startswith("eval/") for stop in stops) or (has_plateau and "eval/" in scheduler)
    return Needs(bool(stops) or has_plateau, reads_evaluation)


def _state_of(module: nn.Module) -> dict[str, Any]:
    """Return copies of the tensors of a module, and the plain values that its parts keep as attributes."""
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    state: dict[str, Any] = {name: value.detach().clone() for name, value in tensors.items()}
    for name, part in module.named_modules():
        plain = {key: value for key, value in vars(part).items() if isinstance(value, bool | int | float | str | None)}
        state |= {
            f"{name}.{key}": value for key, value in plain.items() if not key.startswith("_") and key != "training"
        }
    return state


def _is_same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return one.keys() == two.keys() and all(_is_equal(one[name], two[name]) for name in one)


def _is_equal(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.shape == two.shape and torch.equal(one.nan_to_num(), two.nan_to_num())
    return type(one) is type(two) and (one == two or one != one)
