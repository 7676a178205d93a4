"""Color jitter."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from torch import Tensor

from project.registry import TRANSFORM_REGISTRY, ConfigError
from project.transforms.base import PictureTransform

_GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue (ITU-R BT.601)


@TRANSFORM_REGISTRY.register()
class ColorJitter(PictureTransform):
    """Random change of brightness, contrast and saturation; the result is clamped to [0, 1].

    Each of the three is multiplied by a factor that is drawn uniformly from [1 - x, 1 + x], where x is its argument.

    Args:
        brightness: largest relative change of the brightness, in [0, 1].
        contrast: largest relative change of the differences from the picture's mean grey, in [0, 1].
        saturation: largest relative change of a pixel's difference from its grey, in [0, 1]; unused with one channel.
        keys: names of the pictures `(..., 1 or 3, H, W)`, all changed alike.
    """

    computes: ClassVar[bool] = True

    def __init__(
        self,
        brightness: Annotated[float, Interval(ge=0, le=1)] = 0.2,
        contrast: Annotated[float, Interval(ge=0, le=1)] = 0.2,
        saturation: Annotated[float, Interval(ge=0, le=1)] = 0.2,
        keys: Sequence[str] = ("image",),
    ) -> None:
        super().__init__(keys)
        self.reach = torch.tensor([brightness, contrast, saturation])

    def draw(self, count: int, height: int, width: int) -> Tensor:
        return 1 + self.reach * (2 * torch.rand(count, 3) - 1)

    def change(self, pictures: Tensor, drawn: Tensor) -> Tensor:
        if pictures.shape[1] not in (1, 3):
            raise ConfigError(f"ColorJitter: a picture has {pictures.shape[1]} channels; it must have 1 or 3")
        brightness, contrast, saturation = drawn.to(pictures.dtype).view(-1, 3, 1, 1, 1).unbind(1)
        pictures = pictures * brightness
        pictures = torch.lerp(_grey(pictures).mean((2, 3), keepdim=True), pictures, contrast)
        return torch.lerp(_grey(pictures), pictures, saturation).clamp(0, 1)


def _grey(pictures: Tensor) -> Tensor:
    """Return the grey values `(N, 1, H, W)`."""
    if pictures.shape[1] == 1:
        return pictures
    return (pictures * torch.tensor(_GREY, dtype=pictures.dtype).view(3, 1, 1)).sum(1, keepdim=True)
