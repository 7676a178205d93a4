"""Normalization."""

import torch
from torch import Tensor

from project.registry import TRANSFORM_REGISTRY
from project.transforms.base import Transform


@TRANSFORM_REGISTRY.register()
class Normalize(Transform):
    """Subtracts a mean and divides by a standard deviation, per channel.

    Args:
        mean: one value per channel, or one for all.
        std: likewise, above 0.
        key: which tensor of the sample, `(..., C, H, W)`.
    """

    def __init__(self, mean: list[float], std: list[float], key: str = "image") -> None:
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1)
        self.key = key

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        return sample | {self.key: (sample[self.key] - self.mean) / self.std}
