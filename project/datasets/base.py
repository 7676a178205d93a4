"""Base class of datasets."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch.utils.data
from torch import Tensor

from project.deploy.inputs import Numbers, Picture
from project.transforms.base import BatchTransform, Transform

__all__ = ["Dataset", "EpochSamples", "Numbers", "Picture", "Transform"]


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
    - `set_epoch(epoch)` gets the number of the epoch before its first sample is loaded, in each worker; it must depend
      on nothing else. Instead, `__getitem__` or `__getitems__` may have an argument `epoch: int = 0`. It is 0 in an
      evaluation, which so does not depend on when it is done, and with `trainer.overfit_batches`.
    - `name(index)` returns the name of a sample in samples.csv and of its pictures in the stage `predict`.

    An optional attribute `labels` has the class of each sample, an integer, so that nothing needs to read all samples.

    A yaml refers to an attribute of the training set as `${data.NAME}`, such as `${data.num_classes}`, if it is a
    number, a text, a boolean or a list of these.

    A constructor argument `data_dir` receives the setting `data.data_dir`. A constructor or `__getitem__` that cannot
    use a file raises `OSError("FILE ...")` or FileNotFoundError, as `Picture.read` and Pillow do: the user gets the
    message without a traceback.

    Args:
        augmentation: transforms by name, which `augment` applies in this order.

    Attributes:
        classes: names of the labels 0, 1, ..., if the samples have classes.
        raw: what the inputs of a net are read from, by the name of their tensor: `Picture(channels, size)` or
            `Numbers(shape, dtype)`, for a sample without `augmentation`. An exported net reads its inputs so; those
            that are not described are numbers, of the shape that they have in a batch.
        example: arguments by name, with which the contract tests build the dataset; such as small files in the
            repository.

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

    classes: Sequence[str]
    raw: Mapping[str, Picture | Numbers]
    example: ClassVar[Mapping[str, Any]]

    def __init__(self, augmentation: dict[str, Transform] | None = None) -> None:
        self.augmentation = augmentation or {}
        for name, transform in self.augmentation.items():
            if isinstance(transform, BatchTransform):
                from project.registry import ConfigError  # the registry imports this module

                raise ConfigError(
                    f"augmentation.{name} mixes whole training batches; set it in data.batch_augmentation"
                )

    @abstractmethod
    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one sample."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @cached_property
    def num_classes(self) -> int:
        """Number of classes; a dataset may also set this attribute itself."""
        if not hasattr(self, "classes"):
            raise AttributeError(f"{type(self).__name__} has neither `classes` nor `num_classes`")
        return len(self.classes)

    def augment(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        """Apply all transforms of `augmentation` to a sample or batch."""
        for transform in self.augmentation.values():
            sample = transform(sample)
        return sample


class EpochSamples:
    """Samples of a dataset in an epoch.

    The dataset gets the epoch if it has a method `set_epoch(epoch)`, or if `__getitem__` or `__getitems__` has an
    argument `epoch`.

    Args:
        dataset: the dataset.

    Example::

        samples = EpochSamples(dataset)
        samples.set_epoch(3)
        samples.load(0)  # dataset[0], or dataset.__getitem__(0, epoch=3)
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset, self.epoch = dataset, 0
        self._takes_epoch = _takes_epoch(dataset, "__getitem__")
        self._batch_takes_epoch = _takes_epoch(dataset, "__getitems__")

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the samples that are loaded from now on."""
        self.epoch = epoch
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def load(self, index: int) -> Any:
        """Return a sample."""
        return self.dataset.__getitem__(index, epoch=self.epoch) if self._takes_epoch else self.dataset[index]

    def load_batch(self, indices: list[int]) -> Any:
        """Return the result of `__getitems__`."""
        arguments = {"epoch": self.epoch} if self._batch_takes_epoch else {}
        return self.dataset.__getitems__(indices, **arguments)


def _takes_epoch(dataset: Any, method: str) -> bool:
    try:
        return "epoch" in inspect.signature(getattr(dataset, method)).parameters
    except (AttributeError, ValueError):  # there is no such method, or it is not written in Python
        return False
