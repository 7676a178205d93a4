"""Random flip."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from project.registry import TRANSFORM_REGISTRY
from project.transforms.base import PictureTransform


@TRANSFORM_REGISTRY.register()
class RandomFlip(PictureTransform):
    """Random flip of each picture.

    Args:
        p: probability of a flip, in [0, 1].
        direction: horizontal swaps left and right, vertical swaps top and bottom.
        keys: names of the pictures `(..., C, H, W)`, all flipped alike.
    """

    def __init__(
        self,
        p: Annotated[float, Interval(ge=0, le=1)] = 0.5,
        direction: Literal["horizontal", "vertical"] = "horizontal",
        keys: Sequence[str] = ("image",),
    ) -> None:
        super().__init__(keys)
        self.p, self.dimension = p, -1 if direction == "horizontal" else -2

    def draw(self, count: int, height: int, width: int) -> Tensor:
        return torch.rand(count, 1, 1, 1) < self.p

    def change(self, pictures: Tensor, drawn: Tensor) -> Tensor:
        return torch.where(drawn, pictures.flip(self.dimension), pictures)
