"""Normalization."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from project.registry import TRANSFORM_REGISTRY, ConfigError
from project.transforms.base import PictureTransform


@TRANSFORM_REGISTRY.register()
class Normalize(PictureTransform):
    """Normalization by a mean and a standard deviation per channel.

    Args:
        mean: mean of each channel, or one value for all.
        std: standard deviation of each channel, or one value for all, > 0.
        keys: names of the pictures `(..., C, H, W)`.
    """

    def __init__(self, mean: list[float], std: list[Annotated[float, Gt(0)]], keys: Sequence[str] = ("image",)) -> None:
        super().__init__(keys)
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1)

    def change(self, pictures: Tensor, drawn: None) -> Tensor:
        dtype = pictures.dtype if pictures.is_floating_point() else torch.float32
        mean, std = self.mean.to(dtype), self.std.to(dtype)
        if not {len(mean), len(std)} <= {1, pictures.shape[1]}:
            raise ConfigError(
                f"Normalize: mean has {len(mean)} and std {len(std)} values, "
                f"but a picture has {pictures.shape[1]} channels"
            )
        return (pictures.to(dtype) - mean) / std
