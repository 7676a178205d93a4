"""From a dataset to batches."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, default_collate
from torch.utils.data import Dataset as TorchDataset

from project.core.errors import ConfigError, note_where
from project.core.order import Batches, Place, Position, Request
from project.core.randomness import derive_each, seed_all, seed_with
from project.core.stream import Stream, StreamLoader
from project.core.wiring import shapes

Batch = dict[str, Tensor]


class Fetch(TorchDataset[dict[str, Any]]):
    """Fetches whole batches, collated: in one call where the dataset has `__getitems__`, else sample by sample.

    Python, numpy and torch are seeded for each sample by (seed, set, epoch, index), and for each batch, so neither
    workers nor processes change what is drawn. Fetched in one call, a batch of training is drawn by each process for
    itself; elsewhere each draws the whole batch and takes its rows. A batch gets the samples' `index` (B,) unless the
    dataset provides one.

    Args:
        dataset: the dataset.
        where: its place in the yaml, for messages and seeds.
        seed: the run's seed.
        training: whether it is the training set.
    """

    def __init__(self, dataset: Any, where: str, seed: int, training: bool) -> None:
        self.dataset, self.place, self.seed, self.training = dataset, where, seed, training
        self.where = f"{where} ({type(dataset).__name__})"
        self.collate: Callable[[Any], Batch] = getattr(dataset, "collate", default_collate)
        self.fetches_batches = hasattr(dataset, "__getitems__")

    def __getitem__(self, request: Request) -> dict[str, Any]:
        """This process's rows of a batch; none of them where there are fewer samples than processes."""
        own = request.indices[request.rows]
        shared = self.fetches_batches and not self.training
        indices = request.indices if shared else own or request.indices[:1]
        try:
            batch = self._fetch(indices, request)
        except Exception as error:
            name_of = getattr(self.dataset, "name", None)
            note_where(error, f"{self.where}, samples {shorten(indices, name_of if callable(name_of) else str)}")
            raise
        if not isinstance(batch, dict):
            raise ConfigError(f"{self.where} yields a {type(batch).__name__}; a sample is a dict of named tensors")
        if len(own) != len(indices):
            rows = request.rows if shared else slice(0)
            batch = {name: value[rows] if _has_rows(value, len(indices)) else value for name, value in batch.items()}
        return {"index": np.asarray(own, dtype=np.int64)} | batch

    def __len__(self) -> int:
        return len(self.dataset)

    def _fetch(self, indices: list[int], request: Request) -> Any:
        own = request.rows.start if self.training else 0
        if self.fetches_batches:
            seed_all(self.seed, self.place, "batch", request.epoch, request.batch, own)
            batch = self.dataset.__getitems__(indices)
        else:
            seeds = derive_each(indices, self.seed, self.place, "sample", request.epoch)
            batch = [self._sample(index, seed) for index, seed in zip(indices, seeds, strict=True)]
        if isinstance(batch, list):
            seed_all(self.seed, self.place, "collate", request.epoch, request.batch, own)
            batch = self._collated(batch)
        return batch

    def _sample(self, index: int, seed: int) -> Any:
        seed_with(seed)
        return self.dataset[index]

    def _collated(self, samples: list[Any]) -> Batch:
        try:
            return self.collate(samples)
        except RuntimeError as error:
            different = list(dict.fromkeys(shapes(sample) for sample in samples if isinstance(sample, dict)))
            if self.collate is not default_collate or len(different) < 2:
                raise
            raise ConfigError(
                f"{self.where} has samples of different shapes: {different[0]}; {different[1]}\n"
                "Bring them to one size, give the dataset a `collate`, or set data.batch_size to 1"
            ) from error


class Loader(DataLoader[Any]):
    """Loads what Fetch fetches. The indices leave a worker as an array: a tensor would take as long as a picture."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # DataLoader's own is wrapped
        if self.num_workers or self.pin_memory:
            return map(_with_tensor, super().__iter__())
        # DataLoader's own tells a profiler of each batch, which takes half as long as fetching a small one.
        return map(_with_tensor, map(self.dataset.__getitem__, self.sampler))


def build_loader(
    dataset: Any,
    where: str,
    batch_size: int,
    seed: int,
    training: bool,
    share: tuple[int, int] = (0, 1),
    position: Position = Place,
    limit: int | None = None,
    **workers: Any,
) -> DataLoader[Any]:
    """A loader of this process's share of each batch; an iterable dataset is read as it comes.

    Args:
        dataset: the dataset.
        where: its place in the yaml.
        batch_size: samples of a batch, of all processes together.
        seed: the run's seed.
        training: shuffled, and without an incomplete last batch; else in order and complete.
        share: this process's number, and how many there are.
        position: where training stands.
        limit: no more than so many samples.
        workers: of torch's DataLoader.

    Raises:
        ConfigError: there are no samples, or not one whole batch of them.
    """
    if isinstance(dataset, IterableDataset):
        if share[1] > 1 and not training:
            raise ConfigError(
                f"{where} ({type(dataset).__name__}) is iterable: each of {share[1]} processes would read all of it; "
                "evaluate on one, or give it a length and samples by number"
            )
        stream = Stream(dataset, where, seed, share[0])
        return StreamLoader(stream, position, batch_size=batch_size // share[1], drop_last=training, **workers)
    fetch = Fetch(dataset, where, seed, training)
    length = len(fetch) if limit is None else min(limit, len(fetch))
    if length == 0:
        raise ConfigError(f"{fetch.where} has no samples")
    order = getattr(dataset, "order", None) if training else None
    batches = Batches(length, batch_size, seed, training, order, share, position)
    if len(batches) == 0:
        raise ConfigError(
            f"data.batch_size is {batch_size}, but {fetch.where} has {batches.length} samples: not one whole batch"
        )
    generator = torch.Generator().manual_seed(seed)  # else those with workers would draw from that of the steps
    return Loader(fetch, batch_size=None, sampler=batches, collate_fn=_as_it_is, generator=generator, **workers)


def shorten(indices: list[int], name_of: Callable[[int], str] = str) -> str:
    """The names of the first few indices."""
    return ", ".join(map(name_of, indices[:8])) + (", ..." if len(indices) > 8 else "")


def _has_rows(value: Any, count: int) -> bool:
    """Whether a batch's entry has one row for each sample."""
    return (
        isinstance(value, Tensor | list) and (not isinstance(value, Tensor) or value.ndim > 0) and len(value) == count
    )


def _with_tensor(batch: dict[str, Any]) -> Batch:
    index = batch["index"]
    return batch | {"index": torch.from_numpy(index)} if isinstance(index, np.ndarray) else batch


def _as_it_is(batch: Any) -> Any:
    return batch
