"""Checkpoints: which are written."""

import os
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from project.core.errors import ConfigError, did_you_mean, listing
from project.core.files import whole
from project.core.settings import Checkpoint

BEST, LAST = "best", "last"


def checkpoint_callbacks(folder: Path, settings: Checkpoint, val_sets: list[str] | None) -> list[Callback]:
    """Callbacks that keep `last.ckpt` and, by the monitored value, `best.ckpt`.

    Args:
        folder: where the checkpoints go.
        settings: which one is the best.
        val_sets: the names of the validation sets, where they are known; '' is one that stands alone.

    Raises:
        ConfigError: there are several sets, and none is said to count.
    """
    monitor = settings.monitor
    if monitor is None and len(val_sets or ()) > 1:
        sums = ", ".join(f"val/{name}/sum" for name in val_sets or ())
        raise ConfigError(f"checkpoint.monitor must say which validation set counts, such as one of {sums}")
    if monitor is None and val_sets:
        monitor = "/".join(filter(None, ("val", *val_sets, "sum")))
    if monitor is not None and monitor.startswith("val/") and val_sets == []:
        monitor = None  # there is no validation
    last = _Last(folder, LAST, enable_version_counter=False, save_on_train_epoch_end=True)
    if monitor is None:
        return [last]
    return [_Best(folder, BEST, monitor=monitor, mode=settings.mode, enable_version_counter=False), last]


class _Kept(ModelCheckpoint):
    """One of the engine's own, beside any that the yaml names."""

    @property
    def state_key(self) -> str:
        return f"{type(self).__name__}({self.filename})"


class _Best(_Kept):
    """Keeps the best, and looks before training whether what it monitors is there."""

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        measured = [name for name in trainer.callback_metrics if name.startswith("val/")]
        if str(self.monitor).startswith("val/") and measured and self.monitor not in measured:
            near = did_you_mean(str(self.monitor), measured)
            raise ConfigError(
                f"checkpoint.monitor: nothing is called '{self.monitor}'{near}\nknown: {listing(measured)}"
            )


class _Last(_Kept):
    """Keeps the last, which is also the best where nothing was monitored or no validation came."""

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        best, last = (Path(str(self.dirpath)) / f"{name}.ckpt" for name in (BEST, LAST))
        if trainer.is_global_zero and last.exists() and not best.exists():
            _link(last, best)


class SaveOnce(TorchCheckpointIO):
    """Gives a checkpoint that says the same as the one before it a second name, instead of writing it again."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self._path = Path()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        # The weights are those of a step; what else differs between two checkpoints of a step is where the loops stand.
        saved = (checkpoint.get("global_step"), checkpoint.get("loops"), set(checkpoint))
        again = saved == self._saved and saved[0] is not None
        if again and self._path.exists() and self._path.parent == Path(path).parent:
            _link(self._path, Path(path))
        else:
            super().save_checkpoint(checkpoint, path, storage_options)
        self._saved, self._path = (saved[0], deepcopy(saved[1]), saved[2]), Path(path)


def _link(source: Path, target: Path) -> None:
    """Makes `target` a second name of the file, or a copy where the file system has no such thing."""
    if source != target:
        with whole(target) as temporary:
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)
