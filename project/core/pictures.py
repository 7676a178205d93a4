"""Pictures of the visual: while training, and beside the results of an evaluation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from project.core.datamodule import part_name
from project.core.evaluation import batch_size, per_sample
from project.core.files import write_picture
from project.core.records import tensorboards
from project.core.settings import Progress
from project.core.wiring import Tensors, VisualTerm, Wire, as_picture


class Sketch:
    """Collects the first samples of a set until there are enough for a picture, as long as they are of one size."""

    def __init__(self, visual: VisualTerm, samples: int) -> None:
        self.samples = samples
        self.batches: list[Tensors] = []
        self.outputs: list[Tensors] = []
        self.count = 0
        self._draw = Wire(visual.visual, "__call__", "visual", visual.inputs)

    def add(self, batch: Tensors, output: Tensors) -> None:
        """Takes what is still wanted of a batch, onto the CPU."""
        size = batch_size(batch)
        wanted = min(self.samples - self.count, size)
        if wanted <= 0:
            return
        taken = [
            {name: value[:wanted].cpu() for name, value in per_sample(tensors, size).items()}
            for tensors in (batch, output)
        ]
        if self.count and not _alike(taken, [self.batches[0], self.outputs[0]]):
            return
        self.batches.append(taken[0])
        self.outputs.append(taken[1])
        self.count += wanted

    def draw(self) -> Tensor:
        """The picture `(3, H, W)`; the sketch is empty again."""
        drawn = self._draw(_joined(self.batches), _joined(self.outputs))
        picture = as_picture(drawn, f"visual ({self._draw.owner})")
        self.batches, self.outputs, self.count = [], [], 0
        return picture


class ProgressPictures(Callback):
    """A picture of each set and epoch, to TensorBoard and to RUN/progress/.

    Args:
        visual: what draws.
        progress: how many samples of which set.
        folder: RUN/progress, or none to write no files.
    """

    def __init__(self, visual: VisualTerm, progress: Progress, folder: Path | None) -> None:
        self.visual, self.progress, self.folder = visual, progress, folder
        self.train = Sketch(visual, progress.train)
        self.val: dict[int, Sketch] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.train.count < self.train.samples:
            _add(self.train, batch, outputs)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show(trainer, self.train, "train")

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        _add(self.val.setdefault(dataloader_idx, Sketch(self.visual, self.progress.val)), batch, outputs)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for index, sketch in self.val.items():
            self._show(trainer, sketch, part_name(trainer, "val", index))

    def _show(self, trainer: pl.Trainer, sketch: Sketch, part: str) -> None:
        if not sketch.count or not trainer.is_global_zero:
            return
        picture = sketch.draw()
        if trainer.sanity_checking:
            return
        for board in tensorboards(trainer):
            board.add_image(f"{part}/visual", picture, trainer.global_step)
        if self.folder is not None:
            when = f"epoch_{trainer.current_epoch:04d}_step_{trainer.global_step:06d}"
            write_picture(self.folder / part / f"{when}.png", picture)


def _add(sketch: Sketch, batch: Any, outputs: Any) -> None:
    if isinstance(outputs, Mapping) and "output" in outputs:
        sketch.add(batch, outputs["output"])


def _alike(one: list[Tensors], two: list[Tensors]) -> bool:
    """Whether samples can be put together: the same names, each of the same size."""
    sizes = [[{name: value.shape[1:] for name, value in tensors.items()} for tensors in both] for both in (one, two)]
    return sizes[0] == sizes[1]


def _joined(parts: list[Tensors]) -> Tensors:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
