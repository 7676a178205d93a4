"""What a dataset is."""

from abc import ABC, abstractmethod

import torch.utils.data
from torch import Tensor

from project.transforms.base import Transform

__all__ = ["Dataset", "Transform"]


class Dataset(torch.utils.data.Dataset[dict[str, Tensor]], ABC):
    """Samples as dicts of named tensors.

    One that holds its samples in arrays may have `__getitems__(indices)`, which returns a whole batch as a dict of
    tensors `(B, ...)`. It may have `collate(samples) -> batch` and `order(seed, epoch) -> indices`, both without state,
    and `name(index) -> str`: what samples.csv and the pictures of `predict` call a sample.
    A constructor's argument `data_dir` gets the yaml's `data.data_dir`.

    Args:
        augmentation: transforms by name, applied in this order by `augment`.
    """

    def __init__(self, augmentation: dict[str, Transform] | None = None) -> None:
        self.augmentation = augmentation or {}

    @abstractmethod
    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One sample."""

    @abstractmethod
    def __len__(self) -> int:
        """How many samples there are."""

    def augment(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        """The sample (or batch) after every transform of `augmentation`."""
        for transform in self.augmentation.values():
            sample = transform(sample)
        return sample
