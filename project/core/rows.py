"""A row for each sample of an evaluation, and samples.csv."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from project.core.datamodule import NameOf
from project.core.errors import ConfigError
from project.core.wiring import Tensors

_FIRST = 4096  # rows that there is room for at first


class Rows:
    """The rows of all batches, in columns on the CPU that grow.

    Kept batch by batch, they would lie between the large tensors of a batch, and the memory that these leave could not
    be used again: it would grow with every batch.
    """

    def __init__(self) -> None:
        self.count = 0
        self._columns: Tensors = {}

    def add(self, batch: Tensors) -> None:
        """Adds a batch of `(B,)` and `(B, K)`; the first one says what the columns are.

        Raises:
            ConfigError: one of them is missing, or has another K.
        """
        end = self.count + len(next(iter(batch.values())))
        for name in self._columns or batch:
            value, column = batch.get(name), self._columns.get(name)
            if value is None or (column is not None and value.shape[1:] != column.shape[1:]):
                got = "is missing" if value is None else f"is {tuple(value.shape)}"
                raise ConfigError(f"samples.csv: '{name}' {got} in the batch behind {self.count} samples")
            if column is None or len(column) < end or column.dtype != value.dtype:
                dtype = value.dtype if column is None else torch.promote_types(column.dtype, value.dtype)
                room = torch.empty((max(_FIRST, 2 * end), *value.shape[1:]), dtype=dtype)
                if column is not None:
                    room[: self.count] = column[: self.count]
                self._columns[name] = column = room
            column[self.count : end] = value.detach()
        self.count = end

    def columns(self) -> Tensors:
        """The columns by name, `(N,)` or `(N, K)`."""
        return {name: column[: self.count] for name, column in self._columns.items()}


def join(parts: Sequence[Tensors]) -> Tensors:
    """The rows of several."""
    filled = [part for part in parts if part] or [{}]
    return {name: torch.cat([part[name] for part in filled]) for name in filled[0]}


def table(rows: Tensors, name_of: NameOf | None = None) -> str:
    """The rows as csv, sorted by `index` and named by it; a tensor `(N, K)` has K columns."""
    columns: dict[str, Tensor] = {}
    for name, value in rows.items():
        if value.ndim == 1:
            columns[name] = value
        else:
            columns |= {f"{name}_{i}": column for i, column in enumerate(value.unbind(1))}
    order = rows["index"].argsort(stable=True)
    # One format for all rows takes less than half as long as the csv module; nine digits tell one float32 from another.
    formats = {key: "%.9g" if column.dtype == torch.float32 else "%r" for key, column in columns.items()}
    lists: dict[str, list[Any]] = {key: column[order].tolist() for key, column in columns.items()}
    if name_of is not None:
        lists = {"index": lists["index"], "name": [_cell(str(name_of(index))) for index in lists["index"]]} | lists
        formats["name"] = "%s"
    row = ",".join(formats[key] for key in lists) + "\n"
    cells = tuple(chain.from_iterable(zip(*lists.values(), strict=True)))
    return ",".join(map(_cell, lists)) + "\n" + row * len(order) % cells


def _cell(text: str) -> str:
    """A text as csv has it."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text
