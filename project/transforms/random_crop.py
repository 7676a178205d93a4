"""Random crop."""

from collections.abc import Sequence

from torch import Tensor

from project.registry import TRANSFORM_REGISTRY
from project.transforms.base import PictureTransform
from project.transforms.components.windows import Corners, cut, random_corners


@TRANSFORM_REGISTRY.register()
class RandomCrop(PictureTransform):
    """Takes a square out of each picture, anywhere in it.

    Args:
        size: the square's height and width, in pixels; at most the picture's.
        keys: the pictures `(..., C, H, W)`; a sample's are cut at the same place.
    """

    def __init__(self, size: int, keys: Sequence[str] = ("image",)) -> None:
        super().__init__(keys)
        self.size = size

    def draw(self, count: int, height: int, width: int) -> Corners:
        if self.size > min(height, width):
            raise ValueError(f"a picture of {height} x {width} pixels has no square of {self.size}")
        return random_corners(count, height - self.size, width - self.size)

    def change(self, pictures: Tensor, drawn: Corners) -> Tensor:
        return cut(pictures, drawn, self.size, self.size)
