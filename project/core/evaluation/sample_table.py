"""Table of samples: a row for each sample of an evaluation, written as samples.csv."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from project.core.data.datamodule import SampleNamer
from project.core.data.tensors import Tensors, batch_size
from project.core.errors import ConfigError
from project.core.model.predictions import COLUMNS

_INITIAL_ROWS = 4096


class SampleTable:
    """Columns on the CPU that grow batch by batch.

    A list of batches would fragment the memory: small tensors between the large ones of each batch keep it from being
    reused, so that memory use would grow with every batch.
    """

    def __init__(self) -> None:
        self.count = 0
        self._columns: Tensors = {}

    def add(self, batch: Tensors) -> None:
        """Add rows from tensors `(B,)` and `(B, K)`; the first batch sets the columns.

        If a prediction or target is missing, it is a sequence, of which all earlier ones had one element: the column is
        removed.

        Raises:
            ConfigError: a column is missing, or has another K.
        """
        end = self.count + len(next(iter(batch.values())))
        for name in list(self._columns or batch):
            value, column = batch.get(name), self._columns.get(name)
            if value is None and name.partition(".")[0] in COLUMNS:
                del self._columns[name]
                continue
            if value is None or (column is not None and value.shape[1:] != column.shape[1:]):
                got = "is missing" if value is None else f"is {tuple(value.shape)}"
                raise ConfigError(f"samples.csv: '{name}' {got} in the batch after {self.count} samples")
            if column is None or len(column) < end or column.dtype != value.dtype:
                dtype = value.dtype if column is None else torch.promote_types(column.dtype, value.dtype)
                larger = torch.empty((max(_INITIAL_ROWS, 2 * end), *value.shape[1:]), dtype=dtype)
                if column is not None:
                    larger[: self.count] = column[: self.count]
                self._columns[name] = column = larger
            column[self.count : end] = value.detach()
        self.count = end

    def columns(self) -> Tensors:
        """Return the columns by name, `(N,)` or `(N, K)`."""
        return {name: column[: self.count] for name, column in self._columns.items()}


def sample_indices(trainer: pl.Trainer, batch: Tensors, count: int) -> Tensor:
    """Return the indices of a batch's samples.

    Without `index`, the rows are numbered as they come. Of several processes, each has every n-th, as Lightning
    divides the samples of a data module of the user's own.

    Args:
        trainer: the trainer.
        batch: the batch.
        count: number of samples of the dataset before this batch, in this process.
    """
    if "index" in batch:
        return batch["index"]
    return torch.arange(count, count + batch_size(batch)) * trainer.world_size + trainer.global_rank


def concat(parts: Sequence[Tensors]) -> Tensors:
    """Return the rows of several tables in one, with the columns that all have."""
    filled = [part for part in parts if part] or [{}]
    shared = [name for name in filled[0] if all(name in part for part in filled)]
    return {name: torch.cat([part[name] for part in filled]) for name in shared}


def to_csv(
    columns: Tensors, name_of: SampleNamer | None = None, classes: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Return columns as csv, sorted by `index`; a tensor `(N, K)` becomes K columns.

    Args:
        columns: tensors `(N,)` and `(N, K)`; one is `index`.
        name_of: returns the name of a sample, for the column `name`.
        classes: names of the classes 0, 1, ... by the column of integers that gets another, such as `label_name`.
    """
    flat: dict[str, Tensor] = {}
    for name, value in columns.items():
        if value.ndim == 1:
            flat[name] = value
        else:
            flat |= {f"{name}_{i}": column for i, column in enumerate(value.unbind(1))}
    order = columns["index"].argsort(stable=True)
    # One format for all rows is faster than the csv module; nine digits distinguish all float32.
    formats = {key: "%.9g" if column.dtype == torch.float32 else "%r" for key, column in flat.items()}
    lists: dict[str, list[Any]] = {key: column[order].tolist() for key, column in flat.items()}
    if name_of is not None:
        lists = {"index": lists["index"], "name": [_quote(str(name_of(index))) for index in lists["index"]]} | lists
        formats["name"] = "%s"
    for key, names in (classes or {}).items():
        if key in flat and not flat[key].is_floating_point():
            found = [_quote(names[value]) if 0 <= value < len(names) else "" for value in lists[key]]
            lists = _insert_after(lists, key, f"{key}_name", found)
            formats[f"{key}_name"] = "%s"
    row = ",".join(formats[key] for key in lists) + "\n"
    cells = tuple(chain.from_iterable(zip(*lists.values(), strict=True)))
    return ",".join(map(_quote, lists)) + "\n" + row * len(order) % cells


def _insert_after(lists: dict[str, list[Any]], key: str, name: str, values: list[Any]) -> dict[str, list[Any]]:
    items = list(lists.items())
    position = list(lists).index(key) + 1
    return dict([*items[:position], (name, values), *items[position:]])


def _quote(text: str) -> str:
    """Return a text as a csv cell."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text
