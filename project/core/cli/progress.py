"""Progress of a run: a bar on a terminal, and lines of epochs and long evaluations in the log."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from math import isinf, isnan
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import Callback, RichProgressBar
from torch import Tensor

from project.core.cli.epoch_line import WIDTH, main_values
from project.core.data.datamodule import metric_prefix
from project.core.log import format_values

Metrics = dict[str, Tensor]
_LINE_INTERVAL = 30  # seconds between the lines of a long epoch
_REFRESH_RATE = 4  # updates of the bar per second


def is_terminal() -> bool:
    """Return whether stdout and stderr are a terminal that can redraw a bar, which elsewhere is thousands of lines."""
    return sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def line_level() -> str:
    """Return the level of the lines of epochs and evaluations: a terminal shows the bar in their place."""
    return "DEBUG" if is_terminal() else "INFO"


class ProgressBar(RichProgressBar):
    """Progress bar with the last logged values, read once per logging interval: reading waits for the device."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=_REFRESH_RATE)
        self._updated = 0.0
        self._interval = -1
        self._values: dict[str, Any] = {}

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        self._describe_epoch(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: object, batch_idx: int
    ) -> None:
        if trainer.is_last_batch or self._is_due():
            self._describe_epoch(trainer)
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_test_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.test_loop.batch_progress.is_last_batch or self._is_due():
            super().on_test_batch_end(trainer, *args, **kwargs)

    def _describe_epoch(self, trainer: pl.Trainer) -> None:
        """Count epochs from 1, as the log does; Lightning counts from 0."""
        if self.is_enabled and self.progress is not None and self.train_progress_bar_id is not None:
            text = describe_epoch(trainer, trainer.current_epoch).capitalize()
            self.progress.update(self.train_progress_bar_id, description=text)

    def _is_due(self) -> bool:
        """Return whether to update the bar, which takes as long as a small layer."""
        is_due = time.monotonic() - self._updated > 1 / _REFRESH_RATE
        self._updated = time.monotonic() if is_due else self._updated
        return is_due

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        interval = trainer.global_step // max(1, trainer.log_every_n_steps)  # type: ignore[attr-defined]
        if interval != self._interval or trainer.validating:
            self._interval, self._values = interval, scalars(trainer.callback_metrics)
        return self._values


class EpochLogger(Callback):
    """Callback that logs a line per epoch, and one every half minute of a long epoch.

    The line of an epoch follows everything that logs values at its end: it is logged when the next epoch starts, and
    this callback must be called first. It has the main values that were logged in the epoch; a line within an epoch has
    those that were logged since the previous line. If these are not all, a second line at DEBUG has all.

    Args:
        level: level of the lines.
        logged_epoch: an epoch whose line is in the log; if a resumed run trains on none of its batches, it is not
            logged again.
        monitor: name of the value that selects the best checkpoint.
    """

    def __init__(self, level: str, logged_epoch: int | None = None, monitor: str | None = None) -> None:
        self.level, self.logged_epoch, self.monitor = level, logged_epoch, monitor
        self._epoch_start = self._last_line = 0.0
        self._in_epoch, self._since_line = NewValues(), NewValues()
        self._restored: list[str] = []  # values that were new when the checkpoint was saved
        self._note = ""
        self._has_trained = self._has_warned = False
        self._finished: tuple[int, str] | None = None  # epoch and time
        self._metrics: Callable[[], Metrics] = dict

    def state_dict(self) -> dict[str, Any]:
        return dict.fromkeys(self._in_epoch.select(self._metrics()), True)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = list(state_dict)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._metrics = lambda: trainer.callback_metrics
        self._start_epoch()  # the next hook is not called by Lightning if a run is resumed within an epoch
        self._in_epoch.add(self._restored)
        self._note = " since the resume"

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log_finished(trainer)
        self._start_epoch()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        self._has_trained = True
        if time.monotonic() - self._last_line > _LINE_INTERVAL:
            self._last_line = time.monotonic()
            values = self._since_line.select(trainer.callback_metrics)
            self._log(trainer, trainer.current_epoch, f"batch {batch_idx + 1}/{trainer.num_training_batches}", values)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._has_trained or trainer.current_epoch != self.logged_epoch:
            seconds = f"{time.monotonic() - self._epoch_start:.1f} s{self._note}"
            self._finished = trainer.current_epoch, f"step {trainer.global_step}   {seconds}"

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log_finished(trainer)

    def _start_epoch(self) -> None:
        self._epoch_start = self._last_line = time.monotonic()
        self._note = ""
        for values in (self._in_epoch, self._since_line):
            values.reset(self._metrics())

    def _log_finished(self, trainer: pl.Trainer) -> None:
        """Log the line of an epoch if one has ended."""
        if self._finished is not None:
            self._log(trainer, *self._finished, self._in_epoch.select(trainer.callback_metrics))
            self._finished = None

    def _log(self, trainer: pl.Trainer, epoch: int, progress: str, values: Metrics) -> None:
        if trainer.is_global_zero:
            every, start = scalars(values), f"{describe_epoch(trainer, epoch)}   {progress}"
            main = main_values(every, WIDTH - len(start) - 3, self.monitor)
            logger.log(self.level, f"{start}   {format_values(main)}".rstrip())
            bad = next((name for name, value in every.items() if name.startswith("train/") and isnan(value)), None)
            if bad and not self._has_warned:
                self._has_warned = True
                logger.warning(f"{bad} is nan; to find where it begins, add --config configs/presets/debug.yaml")
            if main != every:
                logger.debug(f"{describe_epoch(trainer, epoch)}   all values   {format_values(every)}")
        self._since_line.reset(trainer.callback_metrics)


class EvaluationLogger(Callback):
    """Callback that logs a line every half minute of a long validation, test or prediction.

    Args:
        level: level of the lines.
    """

    def __init__(self, level: str) -> None:
        self.level = level
        self._start = self._last_line = 0.0

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = self._last_line = time.monotonic()

    on_test_start = on_predict_start = on_validation_start

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        now = time.monotonic()
        if not trainer.is_global_zero or now - self._last_line <= _LINE_INTERVAL:
            return
        self._last_line = now
        if trainer.testing:
            split, counts = "eval", trainer.num_test_batches
        elif trainer.predicting:
            split, counts = "predict", trainer.num_predict_batches
        else:
            split, counts = "val", trainer.num_val_batches
        total = "?" if isinf(counts[dataloader_idx]) else int(counts[dataloader_idx])
        name = metric_prefix(trainer, split, dataloader_idx)
        logger.log(self.level, f"{name}   batch {batch_idx + 1}/{total}   {now - self._start:.1f} s")

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end


class NewValues:
    """Selection of the values that were logged since the last reset.

    A value that is logged has memory of its own, and the old one is kept: equal addresses are of one value.
    """

    def __init__(self) -> None:
        self._old: Metrics = {}

    def reset(self, metrics: Metrics) -> None:
        """Take all values for old."""
        self._old = dict(metrics)

    def add(self, names: Iterable[str]) -> None:
        """Take values for new."""
        self._old = {name: value for name, value in self._old.items() if name not in {*names}}

    def select(self, metrics: Metrics) -> Metrics:
        """Return the new values."""
        return {
            name: value
            for name, value in metrics.items()
            if name not in self._old or value.data_ptr() != self._old[name].data_ptr()
        }


def describe_epoch(trainer: pl.Trainer, epoch: int) -> str:
    """Return an epoch as people count it: the first of ten is `epoch 1/10`."""
    return f"epoch {epoch + 1}/{'?' if trainer.max_epochs in (None, -1) else trainer.max_epochs}"


def has_epoch_line(log: Path, start: int, epoch: int) -> bool:
    """Return whether a log has the line of an epoch after the first `start` bytes."""
    if not log.is_file():
        return False
    later = log.read_bytes()[start:].decode(errors="replace")
    return re.search(rf" epoch {epoch + 1}/\S+ +step \d+ +[\d.]+ s\b", later) is not None


def scalars(metrics: Metrics) -> dict[str, float]:
    """Return the scalars among logged values."""
    return {name: float(value) for name, value in metrics.items() if value.numel() == 1}
