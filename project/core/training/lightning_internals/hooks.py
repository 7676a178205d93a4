"""Hooks of callbacks and modules: empty ones are not called, and errors that could be mistaken get a location."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, wraps
from inspect import getattr_static, isfunction, ismethod, unwrap
from pathlib import Path
from types import MethodType
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.profilers import PassThroughProfiler

from project.core.errors import add_location, is_library

_NO_CONTEXT: AbstractContextManager[None] = nullcontext()
_TRAINING_HOOKS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad"),
    *("on_before_backward", "on_after_backward", "on_before_optimizer_step"),
)
_EVALUATION_HOOKS = tuple(
    f"on_{stage}_batch_{when}" for stage in ("validation", "test", "predict") for when in ("start", "end")
)
# Names of the methods whose errors get a location.
_HOOK_STARTS, _HOOK_ENDS, _OTHER_HOOKS = (
    ("on_", "configure_"),
    ("_step", "_dataloader"),
    ("setup", "teardown", "backward"),
)


class NoProfiler(PassThroughProfiler):
    """Profiler that does nothing; Lightning's enters and leaves a generator around each hook of each callback."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return _NO_CONTEXT


class PrepareHooks(Callback):
    """Callback that prepares the hooks of all callbacks and of the module.

    Batch hooks that nobody implements become None, which Lightning does not call: to call them takes longer than a
    small net. Two errors in hooks that the user wrote get a location: a refusal by Lightning, which is no mistake in
    the yaml, and StopIteration, which would end the epoch silently.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            _remove_empty_hooks(callback, _TRAINING_HOOKS + _EVALUATION_HOOKS)
            _locate_errors(callback)
        _remove_empty_hooks(pl_module, _TRAINING_HOOKS)  # Lightning reads the signatures of the others
        _locate_errors(pl_module)
        if trainer.datamodule is not None:  # type: ignore[attr-defined]
            _locate_errors(trainer.datamodule)  # type: ignore[attr-defined]


def is_empty_hook(owner: Callback | pl.LightningModule, hook: str) -> bool:
    """Return whether a hook is Lightning's own, which does nothing, or was removed."""
    own, base = getattr(owner, hook), Callback if isinstance(owner, Callback) else pl.LightningModule
    return own is None or getattr(own, "__func__", None) is getattr(base, hook)


def _remove_empty_hooks(owner: Callback | pl.LightningModule, hooks: tuple[str, ...]) -> None:
    for hook in hooks:
        if is_empty_hook(owner, hook):
            setattr(owner, hook, None)


def _locate_errors(owner: Callback | pl.LightningModule | pl.LightningDataModule) -> None:
    for name in dir(type(owner)):
        if not (name.startswith(_HOOK_STARTS) or name.endswith(_HOOK_ENDS) or name in _OTHER_HOOKS):
            continue
        function = getattr_static(type(owner), name)
        if not isfunction(function) or _is_in_library(function.__code__.co_filename):
            continue
        hook, label = getattr(owner, name), f"{type(owner).__name__}.{name}"
        if ismethod(hook):  # bound again, because a deep copy of a module must call its own hooks
            setattr(owner, name, MethodType(_located(hook.__func__, label), hook.__self__))
        elif hook is not None:  # it was not removed
            setattr(owner, name, _located(hook, label))


@cache  # a path takes longer to build than to look up, and each callback has 40 hooks
def _is_in_library(file: str) -> bool:
    return is_library(Path(file))


def _located(hook: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(hook)
    def call(*args: object, **kwargs: object) -> Any:
        try:
            return hook(*args, **kwargs)
        except (MisconfigurationException, StopIteration) as error:
            add_location(error, f"{name} ({hook.__code__.co_filename}:{hook.__code__.co_firstlineno})")
            raise

    call.__wrapped__ = unwrap(hook)  # Lightning, which reads signatures, looks through one wrapper only
    return call
