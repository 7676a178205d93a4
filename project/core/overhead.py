"""What Lightning does at every batch although nothing comes of it, left out: it takes longer than a small net."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.profilers import PassThroughProfiler

_NOTHING: AbstractContextManager[Any] = nullcontext()
_OF_TRAINING = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad"),
    *("on_before_backward", "on_after_backward", "on_before_optimizer_step"),
)
_OF_EVALUATION = tuple(f"on_{part}_batch_{at}" for part in ("validation", "test", "predict") for at in ("start", "end"))


class NoProfiler(PassThroughProfiler):
    """No profiler: Lightning's own enters and leaves a generator around each hook of each callback."""

    def profile(self, action_name: str) -> AbstractContextManager[Any]:  # type: ignore[override]
        return _NOTHING


class NoEmptyHooks(Callback):
    """Takes from callbacks and module the hooks of a batch that nobody has filled; Lightning skips what is None."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            _take_empty(callback, _OF_TRAINING + _OF_EVALUATION)
        _take_empty(pl_module, _OF_TRAINING)  # Lightning reads the others' signatures


def is_empty(owner: Callback | pl.LightningModule, hook: str) -> bool:
    """Whether a hook is Lightning's own, which does nothing, or was taken."""
    own, base = getattr(owner, hook), Callback if isinstance(owner, Callback) else pl.LightningModule
    return own is None or getattr(own, "__func__", None) is getattr(base, hook)


def _take_empty(owner: Callback | pl.LightningModule, hooks: tuple[str, ...]) -> None:
    for hook in hooks:
        if is_empty(owner, hook):
            setattr(owner, hook, None)
