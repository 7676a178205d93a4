"""Gaussian noise."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from project.registry import TRANSFORM_REGISTRY
from project.transforms.base import PictureTransform


@TRANSFORM_REGISTRY.register()
class GaussianNoise(PictureTransform):
    """Independent Gaussian noise added to every value; the result is not clamped to [0, 1].

    Args:
        sigma: standard deviation of the noise, where 1 is white.
        keys: names of the pictures `(..., C, H, W)`, each with its own noise.
    """

    computes: ClassVar[bool] = True
    is_random: ClassVar[bool | None] = True

    def __init__(self, sigma: Annotated[float, Ge(0)] = 0.1, keys: Sequence[str] = ("image",)) -> None:
        super().__init__(keys)
        self.sigma = sigma

    def change(self, pictures: Tensor, drawn: None) -> Tensor:
        return pictures + self.sigma * torch.randn_like(pictures)
