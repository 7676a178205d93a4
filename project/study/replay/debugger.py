"""The debugger in a step of a replay."""

import pdb
from typing import Any

import pytorch_lightning as pl

from project.study.replay.watching import StepWatcher


class PdbWatcher(StepWatcher):
    """Watcher that stops in `training_step`, at the first batch of a step.

    In manual optimization the number of steps that a batch will have is taken from the batch before, and before the
    first one from the number of optimizers.

    Args:
        step: the step.
    """

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self._before: int | None = None  # optimizer steps before the last batch
        self._has_stopped = False

    def before_batch(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        done = trainer.global_step
        steps = len(trainer.optimizers) if self._before is None else done - self._before
        self._before = done
        if self._has_stopped or done + max(1, steps) < self.first:
            return
        self._has_stopped = True
        original = module.training_step

        def stop(*arguments: Any, **named: Any) -> Any:
            vars(module)["training_step"] = original
            return pdb.runcall(original, *arguments, **named)

        vars(module)["training_step"] = stop
