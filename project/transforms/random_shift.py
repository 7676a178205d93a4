"""Random shift."""

import torch
from torch import Tensor
from torch.nn import functional as F

from project.registry import TRANSFORM_REGISTRY
from project.transforms.base import Transform


@TRANSFORM_REGISTRY.register()
class RandomShift(Transform):
    """Moves each picture by up to `pixels` in both directions; what comes in from outside is 0.

    Args:
        pixels: the furthest shift, at least 0.
        key: which tensor of the sample, `(..., C, H, W)`; pictures of a batch move independently.
    """

    def __init__(self, pixels: int, key: str = "image") -> None:
        self.pixels, self.key = pixels, key

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        image = sample[self.key]
        *_, channels, height, width = image.shape
        padded = F.pad(image, [self.pixels] * 4).reshape(
            -1, channels, height + 2 * self.pixels, width + 2 * self.pixels
        )
        top, left = torch.randint(2 * self.pixels + 1, (2, len(padded)))
        rows = (top[:, None] + torch.arange(height))[:, None, :, None]
        columns = (left[:, None] + torch.arange(width))[:, None, None, :]
        picture = torch.arange(len(padded))[:, None, None, None]
        channel = torch.arange(channels)[None, :, None, None]
        return sample | {self.key: padded[picture, channel, rows, columns].reshape(image.shape)}
