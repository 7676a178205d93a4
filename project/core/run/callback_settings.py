"""Settings of callbacks that Lightning would restore from a checkpoint."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EarlyStopping


class CallbackSettings(Callback):
    """Callback that keeps the settings with which a resumed run was configured.

    The state of EarlyStopping contains its `patience`, so that an option which changes it would have no effect.
    """

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        states: dict[str, Any] = checkpoint.get("callbacks", {})
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping) and callback.state_key in states:
                states[callback.state_key]["patience"] = callback.patience
