"""How far a run has come: a bar on a terminal, and a line per epoch in the log."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import Callback, RichProgressBar

_SECONDS = 30  # an epoch that takes longer has lines in between
_RATE = 4  # times a second that a bar is drawn; Lightning's hundred take a fifth of a core


def on_terminal() -> bool:
    """Whether somebody watches: a bar in a log file would be thousands of lines."""
    return sys.stdout.isatty() and sys.stderr.isatty()


class Bar(RichProgressBar):
    """Shows the values logged last; they are read once per logging interval, since reading waits for the device."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=_RATE)
        self._told = 0.0
        self._interval = -1
        self._values: dict[str, Any] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch or self._is_due():
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_test_batch_end(self, trainer: pl.Trainer, *rest: Any, **named: Any) -> None:
        if trainer.test_loop.batch_progress.is_last_batch or self._is_due():
            super().on_test_batch_end(trainer, *rest, **named)

    def _is_due(self) -> bool:
        """Whether the time has come to tell the bar how far it is, which takes as long as a small layer."""
        due = time.monotonic() - self._told > 1 / _RATE
        self._told = time.monotonic() if due else self._told
        return due

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        interval = trainer.global_step // max(1, trainer.log_every_n_steps)  # type: ignore[attr-defined]
        if interval != self._interval or trainer.validating:
            self._interval, self._values = interval, logged(trainer)
        return self._values


class EpochLines(Callback):
    """A line per epoch, and one every half minute.

    Args:
        level: DEBUG where a bar shows the same on the console.
    """

    def __init__(self, level: str) -> None:
        self.level = level
        self._started = self._spoken = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)  # which is not called where a run goes on within an epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = self._spoken = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if time.monotonic() - self._spoken > _SECONDS:
            self._spoken = time.monotonic()
            self._say(trainer, f"batch {batch_idx + 1}/{trainer.num_training_batches}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._say(trainer, f"{time.monotonic() - self._started:.1f} s")

    def _say(self, trainer: pl.Trainer, what: str) -> None:
        if trainer.is_global_zero:
            last = "?" if trainer.max_epochs in (None, -1) else trainer.max_epochs - 1
            values = [f"{name} {value:.4g}" for name, value in logged(trainer).items()]
            logger.log(self.level, "   ".join([f"epoch {trainer.current_epoch}/{last}", what, *values]))


def logged(trainer: pl.Trainer) -> dict[str, float]:
    """The values logged last."""
    return {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
