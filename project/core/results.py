"""Results of the stages validate, test and predict: metrics.json, samples.csv and pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from loguru import logger
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.table import Table
from torch.utils._pytree import tree_map

from project.core.datamodule import NameOf, sample_name, set_name
from project.core.errors import ConfigError
from project.core.evaluation import batch_size, per_sample
from project.core.files import write_picture, write_text
from project.core.pictures import Sketch
from project.core.rows import Rows, join, table
from project.core.wiring import Tensors, VisualTerm, as_picture

_PICTURED = 16  # samples in the picture beside the results


class Results(Callback):
    """Writes the results of one stage into a folder; those of several sets into a folder for each.

    Args:
        folder: where to.
        visual: draws the first samples.
        config: the whole configuration as yaml, which is kept beside the results.
    """

    def __init__(self, folder: Path, visual: VisualTerm | None, config: str) -> None:
        self.folder, self.visual, self.config = folder, visual, config
        self.rows: dict[int, Rows] = {}
        self.sketches: dict[int, Sketch] = {}

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not (isinstance(outputs, Mapping) and "output" in outputs):
            return
        columns = getattr(pl_module, "per_sample", None)
        self._add_rows(batch, columns(batch, outputs["output"]) if columns else {}, dataloader_idx)
        if self.visual is not None:
            sketch = self.sketches.setdefault(dataloader_idx, Sketch(self.visual, _PICTURED))
            sketch.add(batch, outputs["output"])

    on_validation_batch_end = on_test_batch_end

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not isinstance(outputs, Mapping):
            raise ConfigError(f"predict_step returns a {type(outputs).__name__}; it must be a dict of named tensors")
        if batch_size(batch) == 0:
            return
        rows = self._add_rows(batch, dict(outputs), dataloader_idx)
        folder, name_of = self._set(trainer, "predict", dataloader_idx)
        for key, value in rows.items():
            if value.ndim == 4 and value.shape[1] in (1, 3):
                for index, picture in zip(rows["index"].tolist(), value, strict=True):
                    file = name_of(index) if name_of else f"{index:06d}"
                    path = folder / key / (file if file.endswith(".png") else f"{file}.png")
                    write_picture(path, as_picture(picture.expand(3, -1, -1), key))

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finish(trainer, pl_module, "eval")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finish(trainer, pl_module, "val")

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finish(trainer, pl_module, "predict")

    def write(self, trainer: pl.Trainer, pl_module: pl.LightningModule, part: str, values: dict[str, float]) -> None:
        """Writes what was collected; called by all processes.

        Args:
            trainer: the trainer.
            pl_module: the module, for the pictures of its metrics.
            part: val, eval or predict.
            values: by their logged names.
        """
        rows = _of_all_processes(trainer, self.rows)
        if not trainer.is_global_zero:
            return
        write_text(self.folder / "config.yaml", self.config)
        if part != "predict":
            named = {name.removeprefix(f"{part}/"): value for name, value in values.items()}
            write_text(self.folder / "metrics.json", json.dumps(named, indent=2) + "\n")
        for index, columns in rows.items():
            folder, name_of = self._set(trainer, part, index)
            write_text(folder / "samples.csv", table(columns, name_of))
        for index, sketch in self.sketches.items():
            write_picture(self._set(trainer, part, index)[0] / "visual.png", sketch.draw())
        for index, evaluation in enumerate(getattr(pl_module, "evaluations", [])):
            for name, picture in evaluation.pictures().items():
                write_picture(self._set(trainer, part, index)[0] / f"{name}.png", picture)

    def _add_rows(self, batch: Tensors, columns: Tensors, dataloader_idx: int) -> Tensors:
        """Keeps what goes into samples.csv, and returns all that has a row for each sample."""
        kept, size = self.rows.setdefault(dataloader_idx, Rows()), batch_size(batch)
        index = batch["index"] if "index" in batch else torch.arange(kept.count, kept.count + size)
        rows = {"index": index} | per_sample(columns, size)
        kept.add({name: value for name, value in rows.items() if value.ndim <= 2})
        return rows

    def _finish(self, trainer: pl.Trainer, pl_module: pl.LightningModule, part: str) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.write(trainer, pl_module, part, values)
        if trainer.is_global_zero:
            if values:
                show(values)
            logger.info(f"results are in {self.folder}")

    def _set(self, trainer: pl.Trainer, part: str, index: int) -> tuple[Path, NameOf | None]:
        """The folder of a set's results, and what names its samples."""
        return self.folder / set_name(trainer, part, index), sample_name(trainer, part, index)


def _of_all_processes(trainer: pl.Trainer, rows: dict[int, Rows]) -> dict[int, Tensors]:
    """The rows of each set: each process has those of its own samples."""
    own = {index: each.columns() for index, each in rows.items()}
    if trainer.world_size == 1:
        return own
    parts: list[Any] = [None] * trainer.world_size
    # Copies: a part of a tensor is sent with all that it is a part of.
    torch.distributed.all_gather_object(parts, {index: tree_map(torch.clone, each) for index, each in own.items()})
    return {index: join([part.get(index, {}) for part in parts]) for index in parts[0]}


def show(values: Mapping[str, float]) -> None:
    """Prints the values as a table; Lightning's own repeats them for each of several sets."""
    shown = Table("metric", "value")
    for name, value in values.items():
        shown.add_row(name, f"{value:.6g}")
    Console().print(shown)
