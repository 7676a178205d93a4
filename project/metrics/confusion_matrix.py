"""Confusion matrix."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MulticlassConfusionMatrix

from project.metrics.components.classes import check_classes, to_classes
from project.registry import METRIC_REGISTRY

_CELL, _SIDE = 32, 1024  # side of a cell, and the largest side of the picture, in pixels
_MARGIN = 230  # grey value of the margins


@METRIC_REGISTRY.register()
class ConfusionMatrix(MulticlassConfusionMatrix):
    """Number of samples of each class (row) by predicted class (column), shown as a picture.

    Args:
        num_classes: number of classes.
    """

    def __init__(self, num_classes: Annotated[int, Ge(1)]) -> None:
        super().__init__(num_classes, validate_args=False)

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Add scores `(B, classes)` and labels `(B,)`, or probabilities `(B, classes)` of which the largest counts."""
        check_classes(self, self.num_classes, logits)
        super().update(logits, to_classes(label))

    def data(self, value: Tensor, classes: Sequence[str]) -> dict[str, Any]:
        """Return the counts with the names of the classes; classes without a name have their number."""
        count, counts = self.num_classes, self._as_matrix(value)
        return {"counts": counts.tolist(), "classes": [*classes[:count], *map(str, range(len(classes), count))]}

    def picture(self, value: Tensor) -> Tensor:
        """Draw the counts `(classes, classes)` as a picture `(3, H, W)`.

        The blue of a cell shows its share of the row. The margins number the true (left) and predicted classes (top).
        """
        counts = self._as_matrix(value).cpu()
        share = (counts / counts.sum(1, keepdim=True).clamp(min=1)).unsqueeze(2)
        colors = (255 * (1 - share) + torch.tensor([31, 119, 180]) * share).byte()
        cells = F.pad(colors, [0, 0, 1, 0, 1, 0], value=_MARGIN).numpy()
        cell = min(_CELL, max(1, _SIDE // len(cells)))
        side = len(cells) * cell
        image = Image.fromarray(cells).resize((side, side), Image.Resampling.NEAREST)
        if cell == _CELL:  # numbers do not fit into smaller cells
            _write_numbers(ImageDraw.Draw(image), counts, share)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    def _as_matrix(self, value: Tensor) -> Tensor:
        """Return the counts `(classes, classes)`: of one class, torchmetrics computes a scalar."""
        return value.reshape(self.num_classes, self.num_classes)


def _write_numbers(draw: ImageDraw.ImageDraw, counts: Tensor, share: Tensor) -> None:
    def write(row: int, column: int, number: int, color: str = "black") -> None:
        draw.text(((column + 0.5) * _CELL, (row + 0.5) * _CELL), str(number), fill=color, anchor="mm")

    for i in range(len(counts)):
        write(0, i + 1, i)
        write(i + 1, 0, i)
    for row, column in counts.nonzero().tolist():
        write(row + 1, column + 1, int(counts[row, column]), "white" if share[row, column] > 0.5 else "black")
