"""Lines on a terminal about how far a long replay is."""

import time

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from project.core.console import print_text

_SECONDS = 10.0  # between two lines


class ProgressLines(Callback):
    """Watcher that prints a line now and then: the step, and about how long the rest takes.

    Args:
        last: the last step.
    """

    def __init__(self, last: int) -> None:
        self.last, self._first = last, 0
        self._began = self._shown = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._first, self._began = trainer.global_step, time.monotonic()
        self._shown = self._began

    def after_batch(self, trainer: pl.Trainer) -> None:
        """Print a line, if the last one was long ago."""
        now, done = time.monotonic(), trainer.global_step - self._first
        if now - self._shown < _SECONDS or done < 1 or trainer.global_step >= self.last or not trainer.is_global_zero:
            return
        self._shown = now
        left = (now - self._began) / done * (self.last - trainer.global_step)
        print_text(f"step {trainer.global_step} of {self.last}, about {left:.0f} s left\n")
