"""Results of the stages validate, test and predict: metrics.json, samples.csv and pictures."""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from loguru import logger
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.table import Table
from torch import Tensor

from project.core.datamodule import set_name
from project.core.errors import ConfigError
from project.core.evaluation import batch_size, per_sample
from project.core.files import write_picture, write_text
from project.core.pictures import Sketch
from project.core.wiring import Tensors, VisualTerm

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
        self.rows: dict[int, list[Tensors]] = {}
        self.counts: Counter[int] = Counter()
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
        self._add_rows(batch, dict(outputs), dataloader_idx)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, "eval")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, "val")

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, "predict")

    def _add_rows(self, batch: Tensors, columns: Tensors, dataloader_idx: int) -> None:
        size, done = batch_size(batch), self.counts[dataloader_idx]
        rows = {"index": batch.get("index", torch.arange(done, done + size))} | per_sample(columns, size)
        kept = {name: value.detach().cpu() for name, value in rows.items() if value.ndim <= 2}
        self.rows.setdefault(dataloader_idx, []).append(kept)
        self.counts[dataloader_idx] += size

    def _write(self, trainer: pl.Trainer, part: str) -> None:
        if not trainer.is_global_zero:
            return
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        write_text(self.folder / "config.yaml", self.config)
        if part != "predict":
            named = {name.removeprefix(f"{part}/"): value for name, value in values.items()}
            write_text(self.folder / "metrics.json", json.dumps(named, indent=2) + "\n")
            show(values)
        for index, batches in self.rows.items():
            write_text(self._set_folder(trainer, part, index) / "samples.csv", table(batches))
        for index, sketch in self.sketches.items():
            write_picture(self._set_folder(trainer, part, index) / "visual.png", sketch.draw())
        logger.info(f"results are in {self.folder}")

    def _set_folder(self, trainer: pl.Trainer, part: str, index: int) -> Path:
        return self.folder / set_name(trainer, part, index)


def show(values: Mapping[str, float]) -> None:
    """Prints the values as a table; Lightning's own repeats them for each of several sets."""
    shown = Table("metric", "value")
    for name, value in values.items():
        shown.add_row(name, f"{value:.6g}")
    Console().print(shown)


def table(batches: list[Tensors]) -> str:
    """The batches' columns as csv, sorted by `index`; a tensor `(B, K)` has K columns."""
    joined = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    columns: dict[str, Tensor] = {}
    for name, value in joined.items():
        if value.ndim == 1:
            columns[name] = value
        else:
            columns |= {f"{name}_{i}": column for i, column in enumerate(value.unbind(1))}
    order = joined["index"].argsort(stable=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(column[order].tolist() for column in columns.values()), strict=True))
    return text.getvalue()
