"""Pictures of the visuals, during training and with the results of an evaluation."""

from collections.abc import Mapping
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from project.core.config.entry_checks import join_path
from project.core.config.settings import ProgressSettings
from project.core.config.terms import Visuals, VisualTerm
from project.core.data.datamodule import metric_prefix
from project.core.data.tensors import Tensors, batch_size, select_rows
from project.core.file_names import check_file_name
from project.core.files import write_picture
from project.core.model.wiring import NamedCall, as_picture
from project.core.trackers import log_picture

_PATH = "visual"  # config path, and name of the pictures


class PictureCollector:
    """Collector of the first samples of a dataset, for one picture per visual. Samples of another size are left out.

    Args:
        visuals: they draw the pictures.
        num_samples: number of samples in a picture.
    """

    def __init__(self, visuals: Visuals, num_samples: int) -> None:
        self.num_samples = num_samples
        self.batches: list[Tensors] = []
        self.outputs: list[Tensors] = []
        self.count = 0
        self._draw = {name: visual_call(name, term) for name, term in visuals.items()}

    def add(self, batch: Tensors, output: Tensors) -> None:
        """Copy samples that are still needed to the CPU."""
        size = batch_size(batch)
        needed = min(self.num_samples - self.count, size)
        if needed <= 0:
            return
        taken = [
            {name: value[:needed].cpu() for name, value in select_rows(tensors, size).items()}
            for tensors in (batch, output)
        ]
        if self.count and _row_shapes(taken) != _row_shapes([self.batches[0], self.outputs[0]]):
            return
        self.batches.append(taken[0])
        self.outputs.append(taken[1])
        self.count += needed

    def draw(self, visuals: Visuals) -> dict[str, Tensor]:
        """Return the pictures `(3, H, W)` of some of the visuals, by name, and remove the samples."""
        batch, output = _concat(self.batches), _concat(self.outputs)
        calls = {name: self._draw[name] for name in visuals}
        pictures = {
            name: as_picture(call(batch, output), f"{call.path} ({call.owner})") for name, call in calls.items()
        }
        self.batches, self.outputs, self.count = [], [], 0
        return pictures


class ProgressPictures(Callback):
    """Callback that draws pictures of each dataset and epoch, to the loggers and to RUN/progress/.

    Args:
        visuals: they draw the pictures, each in the epochs of its own.
        progress: number of samples of each split.
        directory: RUN/progress; None writes no files.
    """

    def __init__(self, visuals: Visuals, progress: ProgressSettings, directory: Path | None) -> None:
        self.visuals, self.progress, self.directory = visuals, progress, directory
        self.train = PictureCollector(visuals, progress.train)
        self.val: dict[int, PictureCollector] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: Tensors, batch_idx: int
    ) -> None:
        if self.train.count < self.train.num_samples and self._due(trainer):
            _add(self.train, batch, outputs)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._draw(trainer, self.train, "train")

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Tensors,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._due(trainer):
            if dataloader_idx not in self.val:
                self.val[dataloader_idx] = PictureCollector(self.visuals, self.progress.val)
            _add(self.val[dataloader_idx], batch, outputs)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for index, collector in self.val.items():
            self._draw(trainer, collector, metric_prefix(trainer, "val", index))

    def _due(self, trainer: pl.Trainer) -> Visuals:
        """Return the visuals that draw in this epoch; all draw in the sanity check, which finds mistakes."""
        epoch, checks = trainer.current_epoch, trainer.sanity_checking
        return {name: term for name, term in self.visuals.items() if checks or term.is_due(epoch)}

    def _draw(self, trainer: pl.Trainer, collector: PictureCollector, prefix: str) -> None:
        if not collector.count or not trainer.is_global_zero:
            return
        pictures = collector.draw(self._due(trainer))
        if trainer.sanity_checking:
            return
        file_name = f"epoch_{trainer.current_epoch:04d}_step_{trainer.global_step:06d}.png"
        for name, picture in pictures.items():
            log_picture(trainer, f"{prefix}/{picture_name(name)}", picture)
            if self.directory is not None:
                write_picture(self.directory / prefix / name / file_name, picture)


def check_visuals(visuals: Visuals) -> None:
    """Raise ConfigError if a visual has a name that is no file name."""
    for name in filter(None, visuals):
        check_file_name(name, f"{_PATH}: the name")


def visual_call(name: str, term: VisualTerm) -> NamedCall:
    """Return the call of a visual, by its name in the yaml."""
    return NamedCall(term.visual, "__call__", join_path(_PATH, name) if name else _PATH, term.inputs)


def picture_name(name: str) -> str:
    """Return the name of a visual's picture: `visual` for a single one, else `visual/NAME`."""
    return f"{_PATH}/{name}" if name else _PATH


def _add(collector: PictureCollector, batch: Tensors, outputs: object) -> None:
    if isinstance(outputs, Mapping) and "output" in outputs:
        collector.add(batch, outputs["output"])


def _row_shapes(tensors: list[Tensors]) -> list[dict[str, torch.Size]]:
    return [{name: value.shape[1:] for name, value in each.items()} for each in tensors]


def _concat(parts: list[Tensors]) -> Tensors:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
