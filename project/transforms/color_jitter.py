"""Color jitter."""

from collections.abc import Sequence

import torch
from torch import Tensor

from project.registry import TRANSFORM_REGISTRY
from project.transforms.base import PictureTransform

_GREY = (0.299, 0.587, 0.114)  # what red, green and blue add to brightness (ITU-R BT.601)


@TRANSFORM_REGISTRY.register()
class ColorJitter(PictureTransform):
    """Changes brightness, contrast and saturation of each picture; the result is cut off at 0 and 1.

    Each is multiplied by a factor between 1 - x and 1 + x, so x is in [0, 1].

    Args:
        brightness: x of the brightness.
        contrast: x of the distance to the picture's mean grey.
        saturation: x of the distance of each pixel to its grey; without effect on pictures of one channel.
        keys: the pictures `(..., 1 or 3, H, W)`; a sample's change alike.
    """

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.2,
        keys: Sequence[str] = ("image",),
    ) -> None:
        super().__init__(keys)
        self.reach = torch.tensor([brightness, contrast, saturation])

    def draw(self, count: int, height: int, width: int) -> Tensor:
        return 1 + self.reach * (2 * torch.rand(count, 3) - 1)

    def change(self, pictures: Tensor, drawn: Tensor) -> Tensor:
        brightness, contrast, saturation = drawn.to(pictures.dtype).view(-1, 3, 1, 1, 1).unbind(1)
        pictures = pictures * brightness
        pictures = torch.lerp(_grey(pictures).mean((2, 3), keepdim=True), pictures, contrast)
        return torch.lerp(_grey(pictures), pictures, saturation).clamp(0, 1)


def _grey(pictures: Tensor) -> Tensor:
    """`(N, 1, H, W)`."""
    if pictures.shape[1] == 1:
        return pictures
    return (pictures * torch.tensor(_GREY, dtype=pictures.dtype).view(3, 1, 1)).sum(1, keepdim=True)
