"""Confusion matrix."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from project.registry import METRIC_REGISTRY

_CELL = 32  # pixels of width and height


@METRIC_REGISTRY.register()
class ConfusionMatrix(MulticlassConfusionMatrix):
    """How many samples of each class (row) were taken for which (column): a picture.

    Args:
        num_classes: number of classes.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, validate_args=False)

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Adds scores `(B, classes)` and labels `(B,)`."""
        super().update(logits, label)

    def picture(self, value: Tensor) -> Tensor:
        """The counts `(classes, classes)` as a picture `(3, H, W)`: the larger a row's share, the bluer."""
        counts = value.cpu()
        share = (counts / counts.sum(1, keepdim=True).clamp(min=1)).unsqueeze(2)
        colors = (255 * (1 - share) + torch.tensor([31, 119, 180]) * share).byte().numpy()
        length = len(counts) * _CELL
        image = Image.fromarray(colors).resize((length, length), Image.Resampling.NEAREST)
        draw = ImageDraw.Draw(image)
        for row, column in counts.nonzero().tolist():
            center = ((column + 0.5) * _CELL, (row + 0.5) * _CELL)
            fill = "white" if share[row, column] > 0.5 else "black"
            draw.text(center, str(int(counts[row, column])), fill=fill, anchor="mm")
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
