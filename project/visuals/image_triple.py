"""Rows of input, output and target pictures."""

from collections.abc import Sequence

import torch
from torch import Tensor

from project.registry import VISUAL_REGISTRY
from project.visuals.base import Visual

_GAP = 4  # pixels


@VISUAL_REGISTRY.register()
class ImageTriple(Visual):
    """One row per sample: the input, the output and the target."""

    def __call__(self, image: Tensor, prediction: Tensor, target: Tensor) -> Tensor:
        """Draw three tensors `(B, 1 or 3, H, W)` in [0, 1]; other values are clamped."""
        return draw_rows([image, prediction, target])


def draw_rows(columns: Sequence[Tensor]) -> Tensor:
    """Draw a row per sample, given its pictures in each column, `(B, 1 or 3, H, W)` in [0, 1]."""
    pictures = torch.stack([*columns], dim=1).float().clamp(0, 1).expand(-1, -1, 3, -1, -1)
    framed = torch.nn.functional.pad(pictures, [0, _GAP, 0, _GAP], value=1.0)  # (B, columns, 3, H + gap, W + gap)
    rows = framed.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
    return rows[:, :-_GAP, :-_GAP]
