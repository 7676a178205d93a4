"""Cutout."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from project.registry import TRANSFORM_REGISTRY, ConfigError
from project.transforms.base import PictureTransform
from project.transforms.components.windows import Corners, random_corners


@TRANSFORM_REGISTRY.register()
class Cutout(PictureTransform):
    """Random square set to a constant, with its center anywhere in the picture (DeVries and Taylor, Cutout, 2017).

    Args:
        size: height and width of the square in pixels; the part beyond the border is ignored.
        fill: value of the pixels in the square.
        keys: names of the pictures `(..., C, H, W)`, all with the same square.
    """

    def __init__(self, size: Annotated[int, Ge(1)] = 8, fill: float = 0.0, keys: Sequence[str] = ("image",)) -> None:
        super().__init__(keys)
        self.size, self.fill = size, fill

    def draw(self, count: int, height: int, width: int) -> Corners:
        return random_corners(count, height - 1, width - 1)

    def change(self, pictures: Tensor, drawn: Corners) -> Tensor:
        dtype = pictures.dtype
        if not dtype.is_floating_point and torch.tensor(self.fill).to(dtype).item() != self.fill:
            raise ConfigError(f"Cutout: fill is {self.fill}, which a picture of {dtype} cannot hold")
        rows, columns = (
            (torch.arange(length) >= start) & (torch.arange(length) < start + self.size)
            for length, start in zip(
                pictures.shape[-2:], (center[:, None] - self.size // 2 for center in drawn), strict=True
            )
        )
        return pictures.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], self.fill)
