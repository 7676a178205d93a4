"""Pictures of the samples with the greatest and the smallest losses of an evaluation: samples/INDEX.png."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from loguru import logger
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from project.core.config.terms import Visuals
from project.core.data.datamodule import dataset_name
from project.core.data.tensors import Tensors, batch_size, select_rows
from project.core.errors import message_of
from project.core.evaluation.pictures import visual_call
from project.core.evaluation.sample_table import sample_indices
from project.core.files import write_picture
from project.core.model.wiring import NamedCall, as_picture

DIRECTORY = "samples"
_COUNT = 12  # of the worst and of the best
_FILE = re.compile(r"\d{6,}\.png")

Sample = tuple[Tensors, Tensors]  # batch and output, of one row, on the CPU
Pair = tuple["Extremes", "Extremes"]  # worst and best


@dataclass
class Extremes:
    """The samples of a dataset with the greatest or the smallest losses, ordered, equal ones by their index.

    NaN counts as greater than any other loss.

    Args:
        is_worst: whether these are the greatest losses.
        losses: the losses.
        indices: the indices of the samples.
        samples: the samples.
    """

    is_worst: bool
    losses: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    indices: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    samples: list[Any] = field(default_factory=list)

    def add(
        self, losses: NDArray[np.float64], indices: NDArray[np.int64], take: Callable[[list[int]], list[Any]]
    ) -> None:
        """Add samples.

        Args:
            losses: their losses.
            indices: their indices.
            take: returns the samples at some positions, of those that are kept.
        """
        if len(self.losses) == _COUNT:  # most batches have no sample that is kept; comparisons with NaN are false
            last = self.losses[-1]
            positions = np.flatnonzero(~(losses < last) if self.is_worst else ~(losses > last))
        else:
            positions = np.arange(len(losses))
        if not len(positions):
            return
        losses, indices = losses[positions], indices[positions]
        all_losses, all_indices = np.concatenate([self.losses, losses]), np.concatenate([self.indices, indices])
        is_nan, sign = np.isnan(all_losses), -1 if self.is_worst else 1
        first = ~is_nan if self.is_worst else is_nan  # the last key of lexsort is the first one that counts
        kept = np.lexsort((all_indices, sign * np.where(is_nan, 0, all_losses), first))[:_COUNT]
        before = len(self.samples)
        new = iter(take([int(positions[position - before]) for position in kept if position >= before]))
        self.samples = [self.samples[position] if position < before else next(new) for position in kept]
        self.losses, self.indices = all_losses[kept], all_indices[kept]


class ExtremeSamples(Callback):
    """Callback that draws each of the 12 worst and 12 best samples of an evaluation, by the first loss in samples.csv.

    Nothing is drawn without a visual, or if no loss has values per sample. Of several visuals, the first one draws.

    Args:
        directory: directory of the results; each of several datasets has a subdirectory.
        visuals: the visuals.
    """

    def __init__(self, directory: Path, visuals: Visuals) -> None:
        self.directory = directory
        self._call = next((visual_call(name, term) for name, term in visuals.items()), None)
        self._extremes: dict[int, Pair] = {}
        self._counts: dict[int, int] = {}

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Tensors,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._call is None or not (isinstance(outputs, Mapping) and "output" in outputs):
            return
        size, before = batch_size(batch), self._counts.get(dataloader_idx, 0)
        self._counts[dataloader_idx] = before + size
        losses = _first_loss(pl_module, outputs.get("columns", {}))
        if losses is None:
            return
        values, indices = losses.detach().double().cpu().numpy(), sample_indices(trainer, batch, before)
        take = partial(_take_rows, self._call, (batch, outputs["output"]))
        pair = self._extremes.setdefault(dataloader_idx, (Extremes(is_worst=True), Extremes(is_worst=False)))
        for extremes in pair:
            extremes.add(values, indices.cpu().numpy(), take)

    on_validation_batch_end = on_test_batch_end

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._draw_all(trainer, "eval")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._draw_all(trainer, "val")

    def _draw_all(self, trainer: pl.Trainer, split: str) -> None:
        """Draw the samples of all processes; all must call it."""
        merged = _merge(trainer, self._extremes)
        if not trainer.is_global_zero:
            return
        for index in self._counts.keys() | merged.keys():
            directory = self.directory / dataset_name(trainer, split, index) / DIRECTORY
            for old in directory.glob("*.png") if directory.is_dir() else ():
                if _FILE.fullmatch(old.name):
                    old.unlink()  # of an earlier evaluation
            for each in merged.get(index, ()):
                self._draw(directory, dict(zip(each.indices.tolist(), each.samples, strict=True)))

    def _draw(self, directory: Path, samples: Mapping[int, Sample]) -> None:
        call = self._call
        assert call is not None
        for index, (batch, output) in samples.items():
            try:
                picture = as_picture(call(batch, output), f"{call.path} ({call.owner})")
            except Exception as error:  # a visual need not be able to draw a single sample
                reason = message_of(error).partition("\n")[0]
                logger.warning(f"{call.path} ({call.owner}) cannot draw one sample, so {directory} lacks it: {reason}")
                return
            write_picture(directory / f"{index:06d}.png", picture)


def _first_loss(module: Any, columns: Tensors) -> Tensor | None:
    """Return the values of the first loss that has one for each sample."""
    names = getattr(module, "loss_terms", {})
    return next((columns[name] for name in names if name in columns and columns[name].ndim == 1), None)


def _needed(call: NamedCall, tensors: Tensors, count: int) -> Tensors:
    """Return the tensors with a row for each sample that a visual takes."""
    names = {name for _, name, _ in call.sources}
    takes_all = call.takes_output or not names.isdisjoint({"batch", "output"})
    return {name: value for name, value in select_rows(tensors, count).items() if takes_all or name in names}


def _take_rows(call: NamedCall, tensors: tuple[Tensors, Tensors], positions: list[int]) -> list[Sample]:
    """Copy rows to the CPU, each on its own, so that one that is no longer kept takes no memory."""
    if not positions:
        return []
    needed = [_needed(call, each, batch_size(tensors[0])) for each in tensors]
    batch, output = ({name: value[positions].cpu() for name, value in each.items()} for each in needed)
    return [
        ({name: value[[row]] for name, value in batch.items()}, {name: value[[row]] for name, value in output.items()})
        for row in range(len(positions))
    ]


def _merge(trainer: pl.Trainer, own: Mapping[int, Pair]) -> dict[int, Pair]:
    """Return the extremes of all processes by dataset. Each process sends only the samples that are among them."""
    if trainer.world_size == 1:
        return dict(own)
    rank = trainer.global_rank
    places = {
        index: _pair(Extremes(each.is_worst, each.losses, each.indices, _places(rank, each)) for each in pair)
        for index, pair in own.items()
    }
    merged: dict[int, Pair] = {}
    for part in _all_gather(trainer, places):
        for index, pair in part.items():
            total = merged.setdefault(index, (Extremes(is_worst=True), Extremes(is_worst=False)))
            for extremes, more in zip(total, pair, strict=True):
                extremes.add(more.losses, more.indices, partial(_take_items, more.samples))
    sent = {
        (index, each.is_worst, place): own[index][number].samples[place[1]]
        for index, pair in merged.items()
        for number, each in enumerate(pair)
        for place in each.samples
        if place[0] == rank
    }
    received = {key: sample for part in _all_gather(trainer, sent) for key, sample in part.items()}
    for index, pair in merged.items():
        for each in pair:
            each.samples = [received[index, each.is_worst, place] for place in each.samples]
    return merged


def _places(rank: int, extremes: Extremes) -> list[tuple[int, int]]:
    """Return where the samples are: the process, and their positions in it."""
    return [(rank, position) for position in range(len(extremes.samples))]


def _pair(both: Iterable[Extremes]) -> Pair:
    worst, best = both
    return worst, best


def _take_items(items: Sequence[Any], positions: list[int]) -> list[Any]:
    return [items[position] for position in positions]


def _all_gather(trainer: pl.Trainer, value: Any) -> list[Any]:
    parts: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, value)
    return parts
