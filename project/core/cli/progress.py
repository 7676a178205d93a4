"""Progress of a run: a bar on a terminal, and a line per epoch in the log."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import Callback, RichProgressBar

_LINE_INTERVAL = 30  # seconds between the lines of a long epoch
_REFRESH_RATE = 4  # updates of the bar per second


def is_terminal() -> bool:
    """Return whether stdout and stderr are a terminal; in a file, a bar would be thousands of lines."""
    return sys.stdout.isatty() and sys.stderr.isatty()


class ProgressBar(RichProgressBar):
    """Progress bar with the last logged values, read once per logging interval: reading waits for the device."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=_REFRESH_RATE)
        self._updated = 0.0
        self._interval = -1
        self._values: dict[str, Any] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: object, batch_idx: int
    ) -> None:
        if trainer.is_last_batch or self._is_due():
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_test_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.test_loop.batch_progress.is_last_batch or self._is_due():
            super().on_test_batch_end(trainer, *args, **kwargs)

    def _is_due(self) -> bool:
        """Return whether to update the bar, which takes as long as a small layer."""
        is_due = time.monotonic() - self._updated > 1 / _REFRESH_RATE
        self._updated = time.monotonic() if is_due else self._updated
        return is_due

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        interval = trainer.global_step // max(1, trainer.log_every_n_steps)  # type: ignore[attr-defined]
        if interval != self._interval or trainer.validating:
            self._interval, self._values = interval, logged_values(trainer)
        return self._values


class EpochLogger(Callback):
    """Callback that logs a line per epoch, and one every half minute of a long epoch.

    Args:
        level: level of the lines.
    """

    def __init__(self, level: str) -> None:
        self.level = level
        self._epoch_start = self._last_line = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)  # not called by Lightning if a run is resumed within an epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch_start = self._last_line = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if time.monotonic() - self._last_line > _LINE_INTERVAL:
            self._last_line = time.monotonic()
            self._log(trainer, f"batch {batch_idx + 1}/{trainer.num_training_batches}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log(trainer, f"{time.monotonic() - self._epoch_start:.1f} s")

    def _log(self, trainer: pl.Trainer, progress: str) -> None:
        if trainer.is_global_zero:
            last = "?" if trainer.max_epochs in (None, -1) else trainer.max_epochs - 1
            values = [f"{name} {value:.4g}" for name, value in logged_values(trainer).items()]
            logger.log(self.level, "   ".join([f"epoch {trainer.current_epoch}/{last}", progress, *values]))


def logged_values(trainer: pl.Trainer) -> dict[str, float]:
    """Return the last logged scalars."""
    return {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
