"""Results of the stages validate, test and predict: metrics.json, samples.csv and pictures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.data import sized_len
from loguru import logger
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.table import Table
from torch.utils._pytree import tree_map

from project.core.config.terms import Visuals
from project.core.console import print_text
from project.core.data.datamodule import SampleNamer, dataset_name, find_dataset, sample_namer
from project.core.data.raw_inputs import CLASS, class_names
from project.core.data.tensors import Tensors, batch_size, select_rows
from project.core.errors import ConfigError, join_names
from project.core.evaluation.confusion import count_confusions
from project.core.evaluation.picture_names import PictureNames
from project.core.evaluation.pictures import PictureCollector, picture_name
from project.core.evaluation.sample_table import SampleTable, concat, sample_indices, to_csv
from project.core.file_names import check_file_name
from project.core.files import write_picture, write_text
from project.core.model.predictions import COLUMNS
from project.core.model.wiring import as_picture

_PICTURE_SAMPLES = 16
_PAGE = "docs/how_to/own_net.md"


class ResultsWriter(Callback):
    """Callback that writes the results of a stage to a directory; each of several datasets has a subdirectory.

    Args:
        directory: directory of the results.
        visuals: they draw the first samples.
        config: the whole configuration as yaml, written to config.yaml.
        classes: names of the classes 0, 1, ... by the prediction that is one of them.
    """

    def __init__(
        self, directory: Path, visuals: Visuals, config: str, classes: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.directory, self.visuals, self.config, self.classes = directory, visuals, config, classes
        self.written: dict[int, list[int]] = {}  # indices of the samples in samples.csv, on the first process
        self.tables: dict[int, SampleTable] = {}
        self.tensors: dict[int, dict[str, str]] = {}  # by column that is a prediction or target, the name of its tensor
        self.scores: set[str] = set()  # outputs `(B, K)`, of which a net's `predict` can make predictions
        self.collectors: dict[int, PictureCollector] = {}
        self.names: dict[int, PictureNames] = {}

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Tensors,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not (isinstance(outputs, Mapping) and "output" in outputs):
            return
        self._add_rows(trainer, batch, outputs.get("columns", {}), dataloader_idx)
        self.tensors.setdefault(dataloader_idx, outputs.get("tensors", {}))
        self._find_scores(outputs["output"], batch)
        if self.visuals:
            if dataloader_idx not in self.collectors:
                self.collectors[dataloader_idx] = PictureCollector(self.visuals, _PICTURE_SAMPLES)
            self.collectors[dataloader_idx].add(batch, outputs["output"])

    on_validation_batch_end = on_test_batch_end

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Tensors,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not isinstance(outputs, Mapping):
            raise ConfigError(f"predict_step returns a {type(outputs).__name__}; it must be a dict of named tensors")
        if batch_size(batch) == 0:
            return
        rows = self._add_rows(trainer, batch, dict(outputs), dataloader_idx)
        self._find_scores(outputs, batch)
        directory, name_of = self._dataset(trainer, "predict", dataloader_idx)
        for key, value in rows.items():
            if value.ndim == 4 and value.shape[1] in (1, 3):
                check_file_name(key, "predict: the output")
                if dataloader_idx not in self.names:
                    count = sized_len(find_dataset(trainer, "predict", dataloader_idx))
                    self.names[dataloader_idx] = PictureNames(name_of, count)
                name = self.names[dataloader_idx]
                channels = 1 if value.shape[1] == 1 and not value.is_floating_point() else 3  # 1: a mask of classes
                indices = rows["index"].tolist()
                for row, (index, picture) in enumerate(zip(indices, value, strict=True)):
                    repeats = indices[:row].count(index)  # `collate` made several rows of the sample
                    shown = as_picture(picture.expand(3, -1, -1), key)
                    write_picture(directory / key / name(index, repeats), shown[:channels])

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finish(trainer, pl_module, "eval")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finish(trainer, pl_module, "val")

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finish(trainer, pl_module, "predict")

    def write(self, trainer: pl.Trainer, pl_module: pl.LightningModule, split: str, values: dict[str, float]) -> None:
        """Write what was collected; all processes must call it.

        Args:
            trainer: the trainer.
            pl_module: the module, for the pictures of its metrics.
            split: val, eval or predict.
            values: metrics by their logged names.
        """
        columns_by_dataset = _all_gather_columns(trainer, self.tables)
        if not trainer.is_global_zero:
            return
        write_text(self.directory / "config.yaml", self.config)
        if split != "predict":
            named = {name.removeprefix(f"{split}/"): value for name, value in values.items()}
            write_text(self.directory / "metrics.json", json.dumps(named, indent=2) + "\n")
        for index, columns in columns_by_dataset.items():
            directory, name_of = self._dataset(trainer, split, index)
            classes = self._classes_by_column(trainer, split, index)
            write_text(directory / "samples.csv", to_csv(columns, name_of, classes))
            self.written[index] = columns["index"].tolist()
            if split != "predict":
                confusions = count_confusions(columns, classes.get(COLUMNS[0], ()))
                if confusions is not None:
                    write_text(directory / "confusion_matrix.json", json.dumps(confusions) + "\n")
        for index, collector in self.collectors.items():
            for name, picture in collector.draw(self.visuals).items():
                write_picture(self._dataset(trainer, split, index)[0] / f"{picture_name(name)}.png", picture)
        for index, evaluation in enumerate(getattr(pl_module, "evaluations", [])):
            for name, picture in evaluation.pictures().items():
                write_picture(self._dataset(trainer, split, index)[0] / f"{name}.png", picture)
            for name, data in evaluation.data(self._class_names(trainer, split, index)).items():
                write_text(self._dataset(trainer, split, index)[0] / f"{name}.json", json.dumps(data) + "\n")

    def _add_rows(self, trainer: pl.Trainer, batch: Tensors, columns: Tensors, dataloader_idx: int) -> Tensors:
        """Add rows to the table; return all tensors that have a row for each sample."""
        table = self.tables.setdefault(dataloader_idx, SampleTable())
        rows = {"index": sample_indices(trainer, batch, table.count)} | select_rows(columns, batch_size(batch))
        table.add({name: value for name, value in rows.items() if value.ndim <= 2})
        return rows

    def _finish(self, trainer: pl.Trainer, pl_module: pl.LightningModule, split: str) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.write(trainer, pl_module, split, values)
        if trainer.is_global_zero:
            if values:
                print_values(values)
            if note := self._note_without_predictions(pl_module, split):
                logger.info(note)
            logger.info(f"results are in {self.directory}")

    def _find_scores(self, output: Mapping[str, Any], batch: Tensors) -> None:
        """Note the names of outputs `(B, K)`."""
        rows = select_rows(output, batch_size(batch))
        self.scores |= {name for name, value in rows.items() if value.ndim == 2 and value.shape[1] > 1}

    def _note_without_predictions(self, module: Any, split: str) -> str | None:
        """Return what samples.csv lacks because a net has scores, but no `predict` that makes predictions of them.

        None if it has predictions, if the net has no scores, or if the module is no SupervisedModule.
        """
        has_predictions = any(name.partition(".")[0] == COLUMNS[0] for each in self.tensors.values() for name in each)
        if getattr(module, "call_predict", self) is not None or has_predictions or not self.scores:
            return None
        name, scores = type(module.net).__name__, join_names(sorted(self.scores))
        if split == "predict":
            return f"samples.csv has the output of {name} ({scores}): it has no method `predict` ({_PAGE})"
        return f"samples.csv has no predictions: {name} has no method `predict`, which makes them of {scores} ({_PAGE})"

    def _classes_by_column(self, trainer: pl.Trainer, split: str, index: int) -> Mapping[str, Sequence[str]]:
        """Return the names of the classes 0, 1, ... by the column of samples.csv that is one of them."""
        if split == "predict":  # columns have the names of tensors
            return self.classes or {}
        names = self._class_names(trainer, split, index)
        return {column: names for column, tensor in self.tensors.get(index, {}).items() if tensor == CLASS and names}

    def _class_names(self, trainer: pl.Trainer, split: str, index: int) -> Sequence[str]:
        """Return the names of the classes 0, 1, ... of a dataset, or those that the checkpoint knows."""
        names = class_names(find_dataset(trainer, split, index)) or self.classes or {}
        return names.get(CLASS, ())

    def _dataset(self, trainer: pl.Trainer, split: str, index: int) -> tuple[Path, SampleNamer | None]:
        """Return the directory of a dataset's results, and the function that names its samples."""
        return self.directory / dataset_name(trainer, split, index), sample_namer(trainer, split, index)


def _all_gather_columns(trainer: pl.Trainer, tables: dict[int, SampleTable]) -> dict[int, Tensors]:
    """Return the columns of each dataset, with the rows of all processes."""
    own = {index: table.columns() for index, table in tables.items()}
    if trainer.world_size == 1:
        return own
    parts: list[Any] = [None] * trainer.world_size
    # Cloned, because sending a view of a tensor sends the whole tensor.
    torch.distributed.all_gather_object(parts, {index: tree_map(torch.clone, each) for index, each in own.items()})
    indices = sorted({index for part in parts for index in part})  # a process has none if all its rows were dropped
    return {index: concat([part.get(index, {}) for part in parts]) for index in indices}


def print_values(values: Mapping[str, float]) -> None:
    """Print values as a table; Lightning's own table repeats them for each dataset."""
    table = Table("metric", "value")
    for name, value in values.items():
        table.add_row(name, f"{value:.6g}")
    console = Console()
    with console.capture() as shown:
        console.print(table)
    print_text(shown.get())
