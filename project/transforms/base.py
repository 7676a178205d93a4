"""Base classes of transforms."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F


class Transform(ABC):
    """Base class of transforms of samples.

    If the dataset fetches whole batches, and in `model.prepare`, a transform receives a batch: tensors may have any
    leading dimensions. There it may have a method `fit_to(dataset)`, which computes buffers from the samples of the
    training set before the first step (docs/fitting.md); it then derives from nn.Module as well.

    Attributes:
        is_random: whether it draws random numbers; None if that is not known. In the augmentation of an evaluation
            set, one that does not is warned of: if the net needs it, it belongs in `model.prepare`.
        is_task: whether it makes the task, such as a lower resolution to be restored; then nothing is warned of.

    Example::

        @TRANSFORM_REGISTRY.register()
        class CenterPoints(Transform):
            def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
                points = sample["points"]  # (..., N, 3)
                return sample | {"points": points - points.mean(-2, keepdim=True)}
    """

    is_random: ClassVar[bool | None] = None
    is_task: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the sample with some tensors replaced; the argument must not change."""


class BatchTransform(Transform):
    """Base class of transforms that mix the samples of a training batch: `data.batch_augmentation`.

    All tensors have a first dimension, the samples. Classes become soft labels, whether or not a batch is mixed.

    Args:
        num_classes: number of classes.
        p: probability that a batch is mixed, in [0, 1].
        keys: names of the pictures `(B, ..., H, W)`, all mixed alike.

    Example::

        @TRANSFORM_REGISTRY.register()
        class Average(BatchTransform):
            def mix(self, batch: dict[str, Tensor], other: Tensor) -> dict[str, Tensor]:
                return {name: (value + value[other]) / 2 for name, value in batch.items()}
    """

    def __init__(self, num_classes: int, p: float = 1.0, keys: Sequence[str] = ("image",)) -> None:
        self.num_classes, self.p = num_classes, p
        self.keys = _as_names(keys, self)
        if "label" in self.keys:
            raise _refuse(self, "`keys` contains label, which is always mixed; name the tensors that are mixed with it")

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        for key in (*self.keys, "label"):
            if key not in sample:
                raise _refuse(self, f"a batch has no {key}; known: {', '.join(sample)}")
        batch = {key: sample[key] for key in self.keys} | {"label": self._soft_labels(sample["label"])}
        if len({len(value) for value in batch.values()}) > 1:
            shapes = ", ".join(_describe(key, value) for key, value in batch.items())
            raise _refuse(self, f"the tensors of a batch must have the same number of samples: {shapes}")
        if torch.rand(()) < self.p:
            batch = self.mix(batch, torch.randperm(len(batch["label"])))
        return sample | batch

    @abstractmethod
    def mix(self, batch: dict[str, Tensor], other: Tensor) -> dict[str, Tensor]:
        """Mix each sample with another one.

        Args:
            batch: the tensors of `keys`, and `label` (B, classes).
            other: the index of the other sample, `(B,)`.
        """

    def _soft_labels(self, label: Tensor) -> Tensor:
        """Return probabilities `(B, classes)`, given classes `(B,)` or probabilities."""
        if label.ndim == 2 and label.is_floating_point():
            return label
        if label.ndim != 1 or label.is_floating_point():
            raise _refuse(
                self,
                f"{_describe('label', label)} is no batch of classes (B,); set this transform in "
                "data.batch_augmentation, which gets whole training batches",
            )
        known = (label >= 0) & (label < self.num_classes)
        if not known.all():
            raise _refuse(self, f"num_classes is {self.num_classes}, but a batch has the label {label[~known][0]}")
        return F.one_hot(label.long(), self.num_classes).float()


class PictureTransform(Transform):
    """Base class of transforms of pictures `(..., C, H, W)`, and of masks `(..., H, W)` next to them.

    Random parameters are drawn for each picture of a batch; all `keys` of a sample share them. A tensor `(H, W)`, or
    one with one dimension fewer than others of the `keys`, is a mask without channels. If the masks of a batch are the
    only key, give them a channel: `(B, H, W)` would be one picture with B channels.

    It is random if it has a `draw`; one that draws elsewhere sets `is_random = True`.

    Args:
        keys: names of the tensors to transform; their H and W must be equal.

    Example::

        @TRANSFORM_REGISTRY.register()
        class RandomGain(PictureTransform):
            def draw(self, count: int, height: int, width: int) -> Tensor:
                return 0.5 + 0.5 * torch.rand(count, 1, 1, 1)

            def change(self, pictures: Tensor, drawn: Tensor) -> Tensor:
                return pictures * drawn
    """

    computes: ClassVar[bool] = False  # whether `change` computes new values, which integers cannot hold

    def __init__(self, keys: Sequence[str] = ("image",)) -> None:
        self.keys = _as_names(keys, self)

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "is_random" not in vars(cls) and (cls.is_random is None or "draw" in vars(cls)):
            cls.is_random = cls.draw is not PictureTransform.draw

    def check_keys(self, sample: dict[str, Tensor]) -> None:
        """Raise ConfigError if a sample lacks one of the `keys`, or it is no picture."""
        missing = [key for key in self.keys if key not in sample]
        if missing:
            raise _refuse(
                self,
                f"a sample has no {', '.join(missing)}, which its setting `keys` names\nknown: {', '.join(sample)}",
            )
        most = max(sample[key].ndim for key in self.keys)
        for key in self.keys:
            self._check(key, sample[key], most)

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        self.check_keys(sample)
        most = max(sample[key].ndim for key in self.keys)
        masks = {key for key in self.keys if sample[key].ndim in (2, most - 1)}
        pictures = {key: sample[key].unsqueeze(-3) if key in masks else sample[key] for key in self.keys}
        flat = {key: value.reshape(math.prod(value.shape[:-3]), *value.shape[-3:]) for key, value in pictures.items()}
        # Neither len() nor a set: both would make a size constant in an exported model.
        sizes = [(value.shape[0], *value.shape[-2:]) for value in flat.values()]
        if any(size != sizes[0] for size in sizes[1:]):
            shapes = ", ".join(_describe(key, sample[key]) for key in self.keys)
            raise ValueError(f"{', '.join(self.keys)} must have the same number of pictures and size: {shapes}")
        drawn = self.draw(*sizes[0])
        changed = {}
        for key, value in flat.items():
            try:
                new = self.change_mask(value, drawn) if key in masks else self.change(value, drawn)
                shape = new.shape[-2:] if key in masks else new.shape[-3:]
                changed[key] = new.reshape(*pictures[key].shape[:-3], *shape)
            except Exception as error:
                error.add_note(f"{type(self).__name__} was changing {_describe(key, sample[key])}")
                raise
        return sample | changed

    def _check(self, key: str, value: Tensor, most: int) -> None:
        if value.ndim < 2 or value.ndim not in (2, most - 1, most):
            raise _refuse(
                self,
                f"{_describe(key, value)} is neither a picture (..., C, H, W) nor, without its C, a mask of the "
                "others; change `keys`",
            )
        if self.computes and not value.is_floating_point():
            raise _refuse(self, f"{_describe(key, value)} has no floats, which it computes; change `keys`")

    def draw(self, count: int, height: int, width: int) -> Any:
        """Draw random parameters for `count` pictures of the same size; by default None."""
        return None

    @abstractmethod
    def change(self, pictures: Tensor, drawn: Any) -> Tensor:
        """Transform pictures `(count, C, H, W)` with the parameters from `draw`."""

    def change_mask(self, masks: Tensor, drawn: Any) -> Tensor:
        """Transform masks `(count, 1, H, W)` with the parameters from `draw`; by default like pictures."""
        return self.change(masks, drawn)


def _describe(key: str, value: Tensor) -> str:
    return f"{key} {tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"


def _as_names(keys: Sequence[str], transform: Transform) -> list[str]:
    """Return the setting `keys`; without a name the transform would have no effect, or a wrong one."""
    names = [keys] if isinstance(keys, str) else list(keys)
    if not names:
        raise _refuse(transform, "`keys` is empty; it must name a tensor")
    return names


def _refuse(transform: Transform, problem: str) -> Exception:
    from project.registry import ConfigError  # the registry imports this module

    return ConfigError(f"{type(transform).__name__}: {problem}")
