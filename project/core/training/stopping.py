"""Whether a training stops, and why it ended."""

import inspect
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping, Timer

VALUES, STOPS = "values", "stops"  # stored: keys of `get_stop_state` in checkpoints
# Matched: the start of some of Lightning's reasons, and the end of all.
_MONITORED, _SIGNALING = "Monitored metric ", " Signaling Trainer to stop."
STOPPED_BEFORE = "it was stopped before the resume"


class Trainer(pl.Trainer):
    """Lightning's trainer, which also knows what asked it to stop.

    `stop_reason` says which method set `should_stop` to true, such as `MyCallback.on_train_batch_end`.
    """

    stop_reason = ""
    _stops = False

    @property
    def should_stop(self) -> bool:
        """Whether the training is to stop."""
        return self._stops

    @should_stop.setter
    def should_stop(self, value: bool) -> None:
        if value and not self._stops:
            setter: Any = inspect.currentframe().f_back  # type: ignore[union-attr]
            is_restored = isinstance(setter.f_locals.get("self"), Checkpoint)
            method = setter.f_code.co_qualname
            self.stop_reason = STOPPED_BEFORE if is_restored else f"{method} set trainer.should_stop"
        self._stops = value


def may_stop(trainer: pl.Trainer) -> bool:
    """Return whether the minimum numbers of epochs and steps are reached; before that, `should_stop` has no effect."""
    loop: Any = trainer.fit_loop  # its progress has more fields than its annotation
    has_min_epochs = loop.epoch_progress.current.processed >= (loop.min_epochs or 0)
    return has_min_epochs and trainer.global_step >= (loop.min_steps or 0)


def get_stop_state(trainer: pl.Trainer) -> dict[str, Any]:
    """Return what decisions at the end of an epoch depend on: the last logged values, and whether the run stops."""
    values = {name: value.detach().cpu() for name, value in trainer.callback_metrics.items()}
    return {VALUES: values, STOPS: trainer.should_stop}


def end_reason(trainer: pl.Trainer) -> str:
    """Return why a training ended without an exception."""
    if trainer.limit_train_batches == 0:
        return "trainer.limit_train_batches is 0"
    has_all_epochs = trainer.max_epochs not in (None, -1) and trainer.current_epoch >= trainer.max_epochs
    if trainer.should_stop and not (has_all_epochs and trainer.is_last_batch):
        return _stop_reason(trainer)
    if 0 <= trainer.max_steps <= trainer.global_step:
        return f"trainer.max_steps ({trainer.max_steps}) is reached"
    if has_all_epochs:
        return (
            f"trainer.max_epochs ({trainer.max_epochs}) is reached" if trainer.max_epochs else "trainer.max_epochs is 0"
        )
    return "the training loop ended"


def _stop_reason(trainer: pl.Trainer) -> str:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if isinstance(callback, EarlyStopping) and callback.stopping_reason_message:
            message = callback.stopping_reason_message.removesuffix(_SIGNALING).removeprefix(_MONITORED)
            return f"{type(callback).__name__}: {message.removesuffix('.')}"
        remaining = callback.time_remaining() if isinstance(callback, Timer) else None
        if remaining is not None and remaining <= 0:
            limit = timedelta(seconds=round(callback.time_elapsed() + remaining))
            return f"the time limit ({limit}) is reached (trainer.max_time or Timer)"
    return getattr(trainer, "stop_reason", "trainer.should_stop was set")
