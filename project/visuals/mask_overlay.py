"""Rows of pictures with their masks."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from project.registry import VISUAL_REGISTRY
from project.visuals.base import Visual
from project.visuals.image_triple import draw_rows

_COLORS = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0.5, 0], [0.5, 0, 1]])


@VISUAL_REGISTRY.register()
class MaskOverlay(Visual):
    """One row per sample: the picture, its mask and the predicted mask, with a color for each class but 0."""

    example: ClassVar[dict[str, Any]] = {
        "mask": torch.arange(32).expand(4, 32, 32) % 11 - 1,
        "logits": torch.randn(4, 10, 32, 32, generator=torch.Generator().manual_seed(0)),
    }

    def __call__(self, image: Tensor, mask: Tensor, logits: Tensor) -> Tensor:
        """Draw `image` (B, 1 or 3, H, W) in [0, 1] with `mask` (B, H, W) and `logits` (B, classes, H, W)."""
        pictures = image.float().clamp(0, 1).expand(-1, 3, -1, -1)
        return draw_rows([pictures, _paint(pictures, mask), _paint(pictures, logits.argmax(1))])


def _paint(pictures: Tensor, mask: Tensor) -> Tensor:
    """Return the pictures, half covered with the colors of classes above 0."""
    colors = _COLORS[(mask - 1).clamp(min=0) % len(_COLORS)].permute(0, 3, 1, 2)
    return torch.where(mask[:, None] > 0, (pictures + colors) / 2, pictures)
