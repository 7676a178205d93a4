"""How far a run has come: a bar on a terminal, a line per epoch elsewhere."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar

_SECONDS = 30  # an epoch that takes longer has lines in between


def progress_bar() -> ProgressBar:
    """The one that suits where the output goes."""
    return _Bar() if sys.stderr.isatty() and sys.stdout.isatty() else _Lines()


class _Bar(RichProgressBar):
    """Shows the values logged last; they are read once per logging interval, since reading waits for the device."""

    def __init__(self) -> None:
        super().__init__()
        self._interval = -1
        self._values: dict[str, Any] = {}

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        interval = trainer.global_step // max(1, trainer.log_every_n_steps)  # type: ignore[attr-defined]
        if interval != self._interval or trainer.validating:
            self._interval, self._values = interval, headline(trainer)
        return self._values


class _Lines(ProgressBar):
    """A line per epoch, and one every half minute."""

    def __init__(self) -> None:
        super().__init__()
        self._started = self._spoken = 0.0

    def disable(self) -> None:
        """Lightning silences the bars of other ranks; a line there is not written either."""
        self._disabled = True

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._started = self._spoken = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if time.monotonic() - self._spoken > _SECONDS:
            self._spoken = time.monotonic()
            self._say(trainer, f"batch {batch_idx + 1}/{self.total_train_batches}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._say(trainer, f"{time.monotonic() - self._started:.1f} s")

    def _say(self, trainer: pl.Trainer, what: str) -> None:
        if trainer.is_global_zero:
            last = "?" if trainer.max_epochs in (None, -1) else trainer.max_epochs
            values = [f"{name} {value:.4g}" for name, value in headline(trainer).items()]
            logger.info("   ".join([f"epoch {trainer.current_epoch + 1}/{last}", what, *values]))


def headline(trainer: pl.Trainer) -> dict[str, float]:
    """The values logged last, without what every line would repeat."""
    return {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
