"""Gaussian noise."""

from collections.abc import Sequence

import torch
from torch import Tensor

from project.registry import TRANSFORM_REGISTRY
from project.transforms.base import PictureTransform


@TRANSFORM_REGISTRY.register()
class GaussianNoise(PictureTransform):
    """Adds independent noise to every value; the result is not cut off at 0 and 1.

    Args:
        sigma: its standard deviation, where 1 is white.
        keys: the pictures `(..., C, H, W)`; each gets noise of its own.
    """

    def __init__(self, sigma: float = 0.1, keys: Sequence[str] = ("image",)) -> None:
        super().__init__(keys)
        self.sigma = sigma

    def change(self, pictures: Tensor, drawn: None) -> Tensor:
        return pictures + self.sigma * torch.randn_like(pictures)
