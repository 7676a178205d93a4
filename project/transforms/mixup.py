"""Mixup."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor
from torch.distributions import Beta

from project.registry import TRANSFORM_REGISTRY, ConfigError
from project.transforms.base import BatchTransform


@TRANSFORM_REGISTRY.register()
class Mixup(BatchTransform):
    """Weighted mean of each sample and another one of the batch (Zhang et al., mixup, 2018).

    A batch has one weight. Its labels become probabilities `(B, classes)`, which CrossEntropy and Focal take.

    Args:
        num_classes: number of classes.
        alpha: parameter of the distribution Beta(alpha, alpha) of the weight; small values mix little.
        p: probability that a batch is mixed, in [0, 1].
        keys: names of the tensors of floats `(B, ...)`, all mixed alike.

    Example::

        data: {batch_augmentation: {mixup: {num_classes: 10, alpha: 0.2}}}
    """

    def __init__(
        self,
        num_classes: Annotated[int, Ge(1)],
        alpha: Annotated[float, Gt(0)] = 0.2,
        p: Annotated[float, Interval(ge=0, le=1)] = 1.0,
        keys: Sequence[str] = ("image",),
    ) -> None:
        super().__init__(num_classes, p, keys)
        self.alpha = alpha

    def mix(self, batch: dict[str, Tensor], other: Tensor) -> dict[str, Tensor]:
        weight = Beta(self.alpha, self.alpha).sample().item()
        for key, value in batch.items():
            if not value.is_floating_point():
                raise ConfigError(f"Mixup: {key} is of {value.dtype}; it needs floats, of which it computes means")
        return {key: torch.lerp(value[other], value, weight) for key, value in batch.items()}
