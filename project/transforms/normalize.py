"""Normalization."""

from collections.abc import Sequence

import torch
from torch import Tensor

from project.registry import TRANSFORM_REGISTRY
from project.transforms.base import PictureTransform


@TRANSFORM_REGISTRY.register()
class Normalize(PictureTransform):
    """Normalization by a mean and a standard deviation per channel.

    Args:
        mean: mean of each channel, or one value for all.
        std: standard deviation of each channel, or one value for all, > 0.
        keys: names of the pictures `(..., C, H, W)`.
    """

    def __init__(self, mean: list[float], std: list[float], keys: Sequence[str] = ("image",)) -> None:
        super().__init__(keys)
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1)

    def change(self, pictures: Tensor, drawn: None) -> Tensor:
        return (pictures - self.mean) / self.std
