"""Datasets whose samples are those of others, under other indices."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from project.datasets.base import Dataset, EpochSamples, Transform
from project.registry import ConfigError


class Wrapper(Dataset):
    """Base class of datasets around another one, `dataset`, whose other attributes they have too.

    Other methods, and what has an entry for each sample, are left out: they are for the samples of that dataset. Each
    property of an optional method raises AttributeError, as `hasattr` expects, if the dataset has no such method.

    Args:
        dataset: the other dataset.
        augmentation: transforms by name, applied in this order.
    """

    def __init__(self, dataset: Any, augmentation: dict[str, Transform] | None = None) -> None:
        super().__init__(augmentation)
        self.dataset, self.samples = dataset, EpochSamples(dataset)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the dataset, such as its `classes` or another one that the yaml refers to."""
        if name == "dataset":  # while a copy is unpickled, there is none yet
            raise AttributeError(f"{type(self).__name__} has no attribute '{name}'")
        return inner_attribute(self.dataset, name)

    @property
    def num_classes(self) -> int:
        """That of the dataset, which may have no names of its classes."""
        return count_classes(self.dataset)

    def set_epoch(self, epoch: int) -> None:
        """Pass on the epoch."""
        self.samples.set_epoch(epoch)

    @property
    def name(self) -> Callable[[int], str]:
        """The method of the dataset."""
        name: Callable[[int], str] = self.dataset.name
        return name

    @property
    def order(self) -> Callable[[int, int], list[int]]:
        """The method of the dataset."""
        order: Callable[[int, int], list[int]] = self.dataset.order
        return order

    @property
    def labels(self) -> Any:
        """The labels of the dataset."""
        return self.dataset.labels


class View(Wrapper):
    """Base class of datasets that choose samples of another one.

    What the other one can do, a view can too.

    Args:
        dataset: the other dataset.
        indices: its indices of the samples, `(N,)`.
    """

    def __init__(self, dataset: Dataset, indices: NDArray[np.int64]) -> None:
        super().__init__(dataset)
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample: dict[str, Tensor] = renumber(self.samples.load(int(self.indices[index])), index)
        return sample

    @property
    def __getitems__(self) -> Callable[[list[int]], Any]:
        _ = self.dataset.__getitems__
        return self._load_batch

    @property
    def collate(self) -> Callable[[Any], Any]:
        """The method of the dataset."""
        collate: Callable[[Any], Any] = self.dataset.collate
        return collate

    @property
    def name(self) -> Callable[[int], str]:
        """The method of the dataset, for the indices of the view."""
        name = method_of(self.dataset, "name")
        return lambda index: str(name(int(self.indices[index])))

    @property
    def order(self) -> Callable[[int, int], list[int]]:
        """The method of the dataset; samples that are not in the view are left out."""
        order = self.dataset.order
        own: dict[int, list[int]] = {}
        for number, index in enumerate(self.indices.tolist()):
            own.setdefault(index, []).append(number)
        return lambda seed, epoch: [number for index in order(seed, epoch) for number in own.get(int(index), ())]

    @property
    def labels(self) -> Tensor | None:
        """The labels of the dataset, without those of other samples."""
        labels = self.dataset.labels
        return None if labels is None else torch.as_tensor(labels)[self.indices]

    def _load_batch(self, indices: list[int]) -> Any:
        inner = self.indices[indices].tolist()
        batch = self.samples.load_batch(inner)
        if isinstance(batch, list):
            return list(map(renumber, batch, indices))
        if isinstance(batch, dict) and "index" in batch:
            found = torch.as_tensor(batch["index"]).tolist()
            own = dict(zip(inner, indices, strict=True))  # one of the indices, if the view has a sample several times
            return batch | {"index": torch.tensor(indices if found == inner else [own[index] for index in found])}
        return batch


def inner_attribute(dataset: Any, name: str) -> Any:
    """Return an attribute of a dataset that one around it has too.

    Raises:
        AttributeError: there is none, or it is private, a method, or has an entry for each sample.
    """
    value: Any = None if name.startswith("_") else getattr(dataset, name)
    is_by_sample = name not in ("classes", "raw") and hasattr(value, "__len__") and len(value) == len(dataset)
    if value is None or callable(value) or (is_by_sample and not isinstance(value, str)):
        raise AttributeError(f"a dataset around {type(dataset).__name__} has no attribute '{name}'")
    return value


def method_of(dataset: Any, name: str) -> Callable[..., Any]:
    """Return a method of a dataset; raise AttributeError if it has none, but perhaps an attribute of that name."""
    method: Callable[..., Any] = getattr(dataset, name)
    if not callable(method):
        raise AttributeError(f"`{name}` of {type(dataset).__name__} is not a method")
    return method


def count_classes(dataset: Any) -> int:
    """Return the number of classes of a dataset; raise AttributeError if it has none."""
    return int(dataset.num_classes) if hasattr(dataset, "num_classes") else len(dataset.classes)


def renumber(sample: Any, index: int) -> Any:
    """Return a sample whose `index`, if it has one, is that of the view."""
    return sample | {"index": torch.tensor(index)} if isinstance(sample, dict) and "index" in sample else sample


def count_samples(dataset: Any, owner: str) -> int:
    """Return the number of samples of a dataset.

    Raises:
        ConfigError: it is iterable, so that its samples have no indices.
    """
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise ConfigError(f"{owner} needs a dataset with `__len__` and `__getitem__`, unlike {type(dataset).__name__}")
    return len(dataset)


def permute(count: int, *seed: int) -> NDArray[np.int64]:
    """Return a permutation of `range(count)` that depends on nothing else."""
    return np.random.RandomState(seed).permutation(count)  # unlike a Generator's, its numbers are the same in any numpy
