"""Random crop."""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from project.registry import TRANSFORM_REGISTRY, ConfigError
from project.transforms.base import PictureTransform
from project.transforms.components.windows import Corners, cut, random_corners


@TRANSFORM_REGISTRY.register()
class RandomCrop(PictureTransform):
    """Random square crop of each picture.

    Args:
        size: height and width of the crop in pixels, at most those of the picture.
        keys: names of the pictures `(..., C, H, W)`, all cropped alike.
    """

    def __init__(self, size: Annotated[int, Ge(1)], keys: Sequence[str] = ("image",)) -> None:
        super().__init__(keys)
        self.size = size

    def draw(self, count: int, height: int, width: int) -> Corners:
        if self.size > min(height, width):
            raise ConfigError(f"RandomCrop: size is {self.size}, but a picture has only {height} x {width} pixels")
        return random_corners(count, height - self.size, width - self.size)

    def change(self, pictures: Tensor, drawn: Corners) -> Tensor:
        return cut(pictures, drawn, self.size, self.size)
