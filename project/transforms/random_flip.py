"""Random flip."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from project.registry import TRANSFORM_REGISTRY
from project.transforms.base import PictureTransform


@TRANSFORM_REGISTRY.register()
class RandomFlip(PictureTransform):
    """Mirrors each picture with a probability of `p`.

    Args:
        p: the probability, in [0, 1].
        direction: horizontal swaps left and right, vertical top and bottom.
        keys: the pictures `(..., C, H, W)`; a sample's flip together.
    """

    def __init__(
        self,
        p: float = 0.5,
        direction: Literal["horizontal", "vertical"] = "horizontal",
        keys: Sequence[str] = ("image",),
    ) -> None:
        super().__init__(keys)
        self.p, self.dimension = p, -1 if direction == "horizontal" else -2

    def draw(self, count: int, height: int, width: int) -> Tensor:
        return torch.rand(count, 1, 1, 1) < self.p

    def change(self, pictures: Tensor, drawn: Tensor) -> Tensor:
        return torch.where(drawn, pictures.flip(self.dimension), pictures)
