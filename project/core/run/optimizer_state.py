"""Exact loading of the state of optimizers."""

from itertools import chain
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map

from project.core.run.optimizer_changes import apply_changes, check_known
from project.core.run.optimizer_settings import IMPLEMENTATION, Settings, check_structure, read_settings

_STATE_KEY, _SETTINGS = "OptimizerSettings", "settings"  # stored: the key of the callback's state, and the key in it


class OptimizerState(Callback):
    """Callback that saves the settings of the optimizers, and prepares the optimizers of a resumed run.

    A checkpoint contains the settings that optimizers and schedulers were built with. If options have changed them,
    the new ones are written into the loaded checkpoint. This happens after the optimizers were built and before
    Lightning loads their state.

    Args:
        changed: config paths whose values differ from those in the checkpoint that the run is resumed from.
    """

    def __init__(self, changed: list[str]) -> None:
        self.changed = changed
        self._built: list[Settings] = []
        self._saved: list[Settings] = []  # empty if an older version saved the checkpoint
        self._checkpoint: dict[str, Any] = {}

    @property
    def state_key(self) -> str:
        return _STATE_KEY

    def state_dict(self) -> dict[str, Any]:
        return {_SETTINGS: self._built}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._saved = state_dict[_SETTINGS]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._checkpoint = checkpoint

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._built = read_settings(trainer)
        checkpoint, self._checkpoint = self._checkpoint, {}
        if not checkpoint:
            return
        if self._saved:
            self._prepare(trainer, checkpoint)
        else:
            check_known(trainer, self.changed)
        for optimizer, state in zip(trainer.optimizers, checkpoint.get("optimizer_states", ()), strict=False):
            for group, built in zip(state.get("param_groups", ()), optimizer.param_groups, strict=False):
                group |= {key: built[key] for key in IMPLEMENTATION if key in built}

    def _prepare(self, trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
        check_structure(self._saved, self._built)
        for optimizer, saved, built in zip(trainer.optimizers, self._saved, self._built, strict=True):
            if saved["dtypes"] == built["dtypes"]:
                keep_dtypes(optimizer)
        if self.changed:
            apply_changes(trainer, self._saved, self._built, checkpoint, self.changed)


def keep_dtypes(optimizer: Optimizer) -> None:
    """Have an optimizer load its state with the dtypes that were saved.

    torch converts it to the dtype of the parameters, which rounds the float32 state of an optimizer of bf16 parameters.
    """
    loading: dict[str, Any] = {}

    def restore(optimizer: Optimizer) -> None:
        saved, states = chain.from_iterable(group["params"] for group in loading["param_groups"]), loading["state"]
        parameters = chain.from_iterable(group["params"] for group in optimizer.param_groups)
        for key, parameter in zip(saved, parameters, strict=True):
            if key in states:
                optimizer.state[parameter] = tree_map(_with_saved_dtype, optimizer.state[parameter], states[key])
        loading.clear()

    optimizer.register_load_state_dict_pre_hook(lambda _, state_dict: loading.update(state_dict))
    optimizer.register_load_state_dict_post_hook(restore)


def _with_saved_dtype(loaded: object, saved: object) -> object:
    if isinstance(loaded, Tensor) and isinstance(saved, Tensor) and loaded.dtype != saved.dtype:
        return saved.to(loaded.device)
    return loaded
