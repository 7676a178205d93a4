"""Base class of datasets."""

from abc import ABC, abstractmethod

import torch.utils.data
from torch import Tensor

from project.transforms.base import Transform

__all__ = ["Dataset", "Transform"]


class Dataset(torch.utils.data.Dataset[dict[str, Tensor]], ABC):
    """Base class of datasets, whose samples are dicts of named tensors.

    Optional methods:

    - `__getitems__(indices)` returns a whole batch as a dict of tensors `(B, ...)`; fast for samples stored in arrays.
    - `collate(samples)` returns the batch of a list of samples; it must not depend on state. It may drop samples, or
      make several rows of one, as long as an evaluated batch says which sample each row belongs to: `index` (rows,). In
      an evaluation, the samples contain theirs, which `torch.utils.data.default_collate` passes on, unless it changes
      other entries of the batch. If no row is left, it returns `{}`; a training batch needs a row. `__getitems__` may
      do so too, with an `index` of its own.
    - `order(seed, epoch)` returns the indices of an epoch; it must not depend on state.
    - `name(index)` returns the name of a sample in samples.csv and of its pictures in the stage `predict`.

    A constructor argument `data_dir` receives the setting `data.data_dir`. A constructor that cannot use its files
    raises `OSError("FILE ...")` or FileNotFoundError, whose message the user gets without a traceback.

    Args:
        augmentation: transforms by name, which `augment` applies in this order.

    Example::

        @DATASET_REGISTRY.register()
        class Halves(Dataset):
            def __len__(self) -> int:
                return 512

            def __getitem__(self, index: int) -> dict[str, Tensor]:
                label = torch.tensor(index % 2)
                image = torch.rand(1, 8, 8)
                image[:, 4 * label : 4 * label + 4] += 0.3
                return self.augment({"image": image / 1.3, "label": label})
    """

    def __init__(self, augmentation: dict[str, Transform] | None = None) -> None:
        self.augmentation = augmentation or {}

    @abstractmethod
    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one sample."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    def augment(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        """Apply all transforms of `augmentation` to a sample or batch."""
        for transform in self.augmentation.values():
            sample = transform(sample)
        return sample
