"""CutMix."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor
from torch.distributions import Beta

from project.registry import TRANSFORM_REGISTRY, ConfigError
from project.transforms.base import BatchTransform


@TRANSFORM_REGISTRY.register()
class CutMix(BatchTransform):
    """Random rectangle of each picture replaced by that of another one in the batch (Yun et al., CutMix, 2019).

    A batch has one rectangle, of the same shape as the picture unless it is cut at the border. The labels become
    probabilities `(B, classes)`, the shares of the area, which CrossEntropy and Focal take.

    Args:
        num_classes: number of classes.
        alpha: parameter of the distribution Beta(alpha, alpha) of the share of the area that stays.
        p: probability that a batch is mixed, in [0, 1].
        keys: names of the pictures `(B, ..., H, W)`, of the same size, all with the same rectangle.

    Example::

        data: {batch_augmentation: {cutmix: {num_classes: 10, p: 0.5}}}
    """

    def __init__(
        self,
        num_classes: Annotated[int, Ge(1)],
        alpha: Annotated[float, Gt(0)] = 1.0,
        p: Annotated[float, Interval(ge=0, le=1)] = 1.0,
        keys: Sequence[str] = ("image",),
    ) -> None:
        super().__init__(num_classes, p, keys)
        self.alpha = alpha

    def mix(self, batch: dict[str, Tensor], other: Tensor) -> dict[str, Tensor]:
        sizes = {batch[key].shape[-2:] if batch[key].ndim > 2 else None for key in self.keys}
        if None in sizes or len(sizes) > 1:
            shapes = ", ".join(f"{key} {tuple(batch[key].shape)}" for key in self.keys)
            raise ConfigError(f"CutMix: {shapes}: it needs pictures (B, ..., H, W) of the same size")
        height, width = next(iter(batch[key].shape[-2:] for key in self.keys))
        side = (1 - Beta(self.alpha, self.alpha).sample().item()) ** 0.5
        rows, columns = _cut(height, side), _cut(width, side)
        mixed = {key: batch[key].clone() for key in self.keys}
        for key, picture in mixed.items():
            picture[..., rows, columns] = batch[key][..., rows, columns][other]
        area = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        return mixed | {"label": torch.lerp(batch["label"], batch["label"][other], area)}


def _cut(length: int, side: float) -> slice:
    """Return a random range of about `side * length` pixels, with its center anywhere in the picture."""
    center, half = int(torch.randint(length, ())), int(length * side) // 2
    return slice(max(center - half, 0), min(center + half, length))
