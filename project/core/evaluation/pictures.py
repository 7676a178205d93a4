"""Pictures of the visual, during training and with the results of an evaluation."""

from collections.abc import Mapping
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from project.core.config.settings import ProgressSettings
from project.core.config.terms import VisualTerm
from project.core.data.datamodule import metric_prefix
from project.core.data.tensors import Tensors, batch_size, select_rows
from project.core.files import write_picture
from project.core.model.wiring import NamedCall, as_picture
from project.core.tensorboard import tensorboard_writers


class PictureCollector:
    """Collector of the first samples of a dataset, for one picture. Samples of another size are left out.

    Args:
        visual: draws the picture.
        num_samples: number of samples in the picture.
    """

    def __init__(self, visual: VisualTerm, num_samples: int) -> None:
        self.num_samples = num_samples
        self.batches: list[Tensors] = []
        self.outputs: list[Tensors] = []
        self.count = 0
        self._draw = NamedCall(visual.visual, "__call__", "visual", visual.inputs)

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

    def draw(self) -> Tensor:
        """Return the picture `(3, H, W)`, and remove the samples."""
        drawn = self._draw(_concat(self.batches), _concat(self.outputs))
        picture = as_picture(drawn, f"visual ({self._draw.owner})")
        self.batches, self.outputs, self.count = [], [], 0
        return picture


class ProgressPictures(Callback):
    """Callback that draws a picture of each dataset and epoch, to TensorBoard and to RUN/progress/.

    Args:
        visual: draws the pictures.
        progress: number of samples of each split.
        directory: RUN/progress; None writes no files.
    """

    def __init__(self, visual: VisualTerm, progress: ProgressSettings, directory: Path | None) -> None:
        self.visual, self.progress, self.directory = visual, progress, directory
        self.train = PictureCollector(visual, progress.train)
        self.val: dict[int, PictureCollector] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: Tensors, batch_idx: int
    ) -> None:
        if self.train.count < self.train.num_samples:
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
        collector = self.val.setdefault(dataloader_idx, PictureCollector(self.visual, self.progress.val))
        _add(collector, batch, outputs)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for index, collector in self.val.items():
            self._draw(trainer, collector, metric_prefix(trainer, "val", index))

    def _draw(self, trainer: pl.Trainer, collector: PictureCollector, prefix: str) -> None:
        if not collector.count or not trainer.is_global_zero:
            return
        picture = collector.draw()
        if trainer.sanity_checking:
            return
        for writer in tensorboard_writers(trainer):
            writer.add_image(f"{prefix}/visual", picture, trainer.global_step)
        if self.directory is not None:
            name = f"epoch_{trainer.current_epoch:04d}_step_{trainer.global_step:06d}.png"
            write_picture(self.directory / prefix / name, picture)


def _add(collector: PictureCollector, batch: Tensors, outputs: object) -> None:
    if isinstance(outputs, Mapping) and "output" in outputs:
        collector.add(batch, outputs["output"])


def _row_shapes(tensors: list[Tensors]) -> list[dict[str, torch.Size]]:
    return [{name: value.shape[1:] for name, value in each.items()} for each in tensors]


def _concat(parts: list[Tensors]) -> Tensors:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
