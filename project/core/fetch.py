"""From a dataset to batches."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, default_collate
from torch.utils.data import Dataset as TorchDataset

from project.core.errors import ConfigError, note_where
from project.core.randomness import FrozenOrder, ShuffledOrder
from project.core.wiring import shapes

Batch = dict[str, Tensor]


class Fetch(TorchDataset[Batch]):
    """Fetches whole batches, collated: in one call where the dataset has `__getitems__`, else sample by sample.

    A batch gets the samples' `index` (B,) unless the dataset provides one.

    Args:
        dataset: the dataset.
        where: its place in the yaml, for messages.
    """

    def __init__(self, dataset: Any, where: str) -> None:
        self.dataset, self.where = dataset, f"{where} ({type(dataset).__name__})"
        self.collate: Callable[[Any], Batch] = getattr(dataset, "collate", default_collate)
        self.fetches_batches = hasattr(dataset, "__getitems__")

    def __getitems__(self, indices: list[int]) -> Batch:
        """The batch of these samples."""
        try:
            if self.fetches_batches:
                batch = self.dataset.__getitems__(indices)
            else:
                batch = [self.dataset[index] for index in indices]
            if isinstance(batch, list):
                batch = self._collated(batch)
        except Exception as error:
            name_of = getattr(self.dataset, "name", None)
            note_where(error, f"{self.where}, samples {shorten(indices, name_of if callable(name_of) else str)}")
            raise
        if not isinstance(batch, dict):
            raise ConfigError(f"{self.where} yields a {type(batch).__name__}; a sample is a dict of named tensors")
        return {"index": torch.tensor(indices)} | batch

    def __len__(self) -> int:
        return len(self.dataset)

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


def build_loader(
    dataset: Any, where: str, batch_size: int, seed: int, shuffle: bool, frozen: bool = False, **workers: Any
) -> DataLoader[Batch]:
    """A loader of batches: shuffled and without an incomplete last batch for training, else in order and complete.

    A frozen one shuffles every epoch alike.

    An iterable dataset is read as it comes.
    """
    if isinstance(dataset, IterableDataset):
        collate: Any = getattr(dataset, "collate", default_collate)
        return DataLoader(dataset, batch_size=batch_size, collate_fn=collate, drop_last=shuffle, **workers)
    fetch = Fetch(dataset, where)
    if len(fetch) == 0:
        raise ConfigError(f"{fetch.where} has no samples")
    order = None
    if shuffle:
        order = ShuffledOrder(len(fetch), seed, getattr(dataset, "order", None))
        if len(order) < batch_size:
            raise ConfigError(
                f"data.batch_size is {batch_size}, but {fetch.where} has {len(order)} samples: not one whole batch"
            )
    sampler = FrozenOrder(order) if order is not None and frozen else order
    return DataLoader(fetch, batch_size=batch_size, sampler=sampler, drop_last=shuffle, collate_fn=_as_it_is, **workers)


def shorten(indices: list[int], name_of: Callable[[int], str] = str) -> str:
    """The names of the first few indices."""
    return ", ".join(map(name_of, indices[:8])) + (", ..." if len(indices) > 8 else "")


def _as_it_is(batch: Any) -> Any:
    return batch
