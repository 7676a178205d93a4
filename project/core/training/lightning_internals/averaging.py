"""The average of Lightning's WeightAveraging before its first update: until then, the trained weights count."""

import itertools
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import Callback, WeightAveraging
from torch import Tensor

from project.core.training.lightning_internals.names import Feature, is_available


class UnstartedAverages(Callback):
    """Callback that keeps averages without an update equal to the weights; it must be called before WeightAveraging.

    WeightAveraging validates, saves and returns the average, which has the initial weights before its first update.
    """

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        copy_to_unstarted_averages(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        copy_to_unstarted_averages(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for callback in copy_to_unstarted_averages(trainer, pl_module):
            if trainer.is_global_zero:
                logger.warning(
                    f"{type(callback).__name__} averaged nothing: the training ended before its first update"
                )


def copy_to_unstarted_averages(trainer: pl.Trainer, module: pl.LightningModule) -> list[WeightAveraging]:
    """Copy weights and buffers to the averages that have had no update; return the callbacks of these averages."""
    unstarted: list[WeightAveraging] = []
    for callback in trainer.callbacks if is_available(Feature.AVERAGES) else ():  # type: ignore[attr-defined]
        average = callback._average_model if isinstance(callback, WeightAveraging) else None
        if average is not None and average.n_averaged == 0:
            average.update_parameters(module)  # the first update copies
            average.n_averaged.zero_()
            unstarted.append(callback)
    return unstarted


def averaged_tensors(trainer: pl.Trainer) -> dict[str, Tensor]:
    """Return the tensors of averages of WeightAveraging that have had an update, by their names in the module."""
    tensors: dict[str, Tensor] = {}
    for callback in trainer.callbacks if is_available(Feature.AVERAGES) else ():  # type: ignore[attr-defined]
        average = callback._average_model if isinstance(callback, WeightAveraging) else None
        if average is not None and average.n_averaged > 0:
            named = itertools.chain(average.named_parameters(), average.named_buffers())
            tensors |= {name.removeprefix("module."): tensor for name, tensor in named}
    return tensors
