"""Step clock: which batches of a replay belong to which optimizer steps."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class StepWatcher(Callback):
    """Callback of a replay that sees the batches of some optimizer steps; derived classes override the last methods.

    Step N belongs to the batch in which the number of optimizer steps reaches it, and to those before it whose
    gradients are accumulated. In manual optimization a batch can have any number of steps, known after it: each batch
    before the last step may then be the one, so that `before_batch` is called for it, and `drop` if it was not.
    A step that `skip_steps` leaves out has `before_skip` in place of `before_batch`.

    Lightning's other hooks are called for all batches; `is_watching` says whether the batch may belong to the steps.

    Args:
        first: the first step, as the x of the curves: 1 is the first one.
        last: the last step; None for `first`.

    Example::

        class Batches(StepWatcher):
            def before_batch(self, trainer, module, batch, batch_idx):
                self.batches.append(batch)

            def after_step(self, trainer, module, steps):
                self.found, self.batches = self.found | {steps: self.batches}, []

            def drop(self):
                self.batches = []
    """

    def __init__(self, first: int, last: int | None = None) -> None:
        self.first, self.last = first, first if last is None else last
        self.is_watching = False
        self._done = 0  # optimizer steps before the batch

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._done = trainer.global_step
        is_known = pl_module.automatic_optimization  # a batch has at most one step
        self.is_watching = self._done < self.last and (not is_known or self._done + 1 >= self.first)
        if self.is_watching:
            self.before_batch(trainer, pl_module, batch, batch_idx)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        def on_skip(batch: object) -> None:
            self._done = trainer.global_step
            self.is_watching = self.first <= self._done + 1 <= self.last
            if self.is_watching:
                self.before_skip(trainer, batch)

        trainer.fit_loop.epoch_loop.skip_hooks.append(on_skip)

    def after_batch(self, trainer: pl.Trainer) -> None:
        """Tell whether the batch belonged to watched steps; called after all values of the batch are logged."""
        if not self.is_watching or trainer.global_step == self._done:
            return  # of no interest, or its gradients are added to those of the next batch
        self.is_watching = False
        steps = range(max(self._done + 1, self.first), min(trainer.global_step, self.last) + 1)
        if steps:
            self.after_step(trainer, trainer.lightning_module, steps)
        else:
            self.drop()

    def before_batch(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        """Look at a batch, as `training_step` gets it, that may belong to the steps."""

    def before_skip(self, trainer: pl.Trainer, batch: Any) -> None:
        """Look at a batch, before it is moved to the device, that `skip_steps` leaves out."""

    def after_step(self, trainer: pl.Trainer, module: pl.LightningModule, steps: range) -> None:
        """Keep what was seen since the last call: it belongs to these steps, several only in manual optimization."""

    def drop(self) -> None:
        """Forget what was seen since the last call: it belongs to no watched step."""
