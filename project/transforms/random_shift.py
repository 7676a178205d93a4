"""Random shift."""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from torch.nn import functional as F

from project.registry import TRANSFORM_REGISTRY, ConfigError
from project.transforms.base import PictureTransform
from project.transforms.components.windows import Corners, cut, random_corners


@TRANSFORM_REGISTRY.register()
class RandomShift(PictureTransform):
    """Random shift of each picture, padded with zeros.

    Args:
        pixels: largest shift in each direction, at most the height and width of the picture.
        keys: names of the pictures `(..., C, H, W)`, all shifted alike.
        mask_fill: value of the padding in masks `(..., H, W)`; -100 is a pixel that CrossEntropy leaves out.
    """

    def __init__(self, pixels: Annotated[int, Ge(0)] = 1, keys: Sequence[str] = ("image",), mask_fill: int = 0) -> None:
        super().__init__(keys)
        self.pixels, self.mask_fill = pixels, mask_fill

    def draw(self, count: int, height: int, width: int) -> Corners:
        if self.pixels > min(height, width):
            raise ConfigError(f"RandomShift: pixels is {self.pixels}, but a picture has only {height} x {width} pixels")
        return random_corners(count, 2 * self.pixels, 2 * self.pixels)

    def change(self, pictures: Tensor, drawn: Corners) -> Tensor:
        return self._shift(pictures, drawn, 0)

    def change_mask(self, masks: Tensor, drawn: Corners) -> Tensor:
        return self._shift(masks, drawn, self.mask_fill)

    def _shift(self, pictures: Tensor, corners: Corners, fill: int) -> Tensor:
        return cut(F.pad(pictures, [self.pixels] * 4, value=fill), corners, *pictures.shape[-2:])
