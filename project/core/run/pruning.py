"""Pruning: ending a training early whose monitored value is not promising."""

from typing import Protocol

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from project.core.run.checkpoint_policy import CheckpointPolicy


class Pruning(Protocol):
    """Decides whether a training is worth continuing; a sweep implements it."""

    def reports(self, step: int, value: float) -> str | None:
        """Take the monitored value of a validation; return why the training ends, None if it continues.

        Called on rank 0, again for the same step after a resume.

        Args:
            step: number of optimizer steps done.
            value: the monitored value.
        """


class PruningCheck(Callback):
    """Callback that ends a training after a validation if its monitored value is not promising.

    The last checkpoint is the one that was saved before this validation, so that the run can be resumed. A training
    that has reached its end is not pruned.

    Args:
        pruning: decides it, on rank 0; None prunes nothing. The other ranks, which Lightning may have started without
            it, do what rank 0 says.
        policy: says which value is monitored, and when it is logged.
    """

    def __init__(self, pruning: Pruning | None, policy: CheckpointPolicy) -> None:
        self.pruning, self.policy = pruning, policy
        self._is_active = pruning is not None
        self.reason: str | None = None  # why the training was ended; None if it was not

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._is_active = trainer.strategy.broadcast(self.pruning is not None)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking and not self.policy.is_monitored_at_epoch_end(trainer):
            self._check(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.policy.is_monitored_at_epoch_end(trainer):
            self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        monitor = self.policy.monitor
        if not self._is_active or self.reason is not None or monitor is None or monitor not in trainer.callback_metrics:
            return
        step, answer = trainer.global_step, None
        if self.pruning is not None and trainer.is_global_zero:
            value = float(trainer.callback_metrics[monitor])
            if why := self.pruning.reports(step, value):
                answer = f"{monitor} is {value:.4g} after step {step}: {why}"
        answer = trainer.strategy.broadcast(answer)
        if answer is not None and not _is_complete(trainer):
            self.reason = answer
            trainer.should_stop = True


def _is_complete(trainer: pl.Trainer) -> bool:
    """Return whether a training ends now in any case."""
    has_all_epochs = trainer.current_epoch + 1 == trainer.max_epochs and trainer.is_last_batch
    return trainer.should_stop or has_all_epochs or 0 <= trainer.max_steps <= trainer.global_step
