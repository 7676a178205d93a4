"""Grid of pictures with labels and predictions."""

import math
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from project.registry import VISUAL_REGISTRY, ConfigError
from project.visuals.base import Visual

_CAPTION = 14  # height in pixels
_RIGHT, _WRONG = (120, 220, 120), (255, 110, 110)


@VISUAL_REGISTRY.register()
class ClassificationGrid(Visual):
    """Grid of pictures, each with the label and the predicted class below: green if correct, red if wrong.

    Args:
        classes: names of the classes; null shows their numbers.
        cell: height and width of a picture in the grid, in pixels.
    """

    def __init__(self, classes: list[str] | None = None, cell: Annotated[int, Ge(1)] = 64) -> None:
        self.classes, self.cell = classes, cell

    def __call__(self, image: Tensor, label: Tensor, logits: Tensor) -> Tensor:
        """Draw `image` (B, 1 or 3, H, W) in [0, 1] with `label` (B,) or (B, classes) and `logits` (B, classes)."""
        if label.is_floating_point():
            label = label.argmax(1)  # soft labels, as Mixup makes them
        columns = math.ceil(math.sqrt(len(image)))
        rows = math.ceil(len(image) / columns)
        pictures = F.interpolate(image.float(), (self.cell, self.cell)).clamp(0, 1)
        pixels = (pictures.expand(-1, 3, -1, -1) * 255).byte().permute(0, 2, 3, 1).numpy()
        grid = Image.new("RGB", (columns * self.cell, rows * (self.cell + _CAPTION)))
        draw = ImageDraw.Draw(grid)
        for i, (truth, guess) in enumerate(zip(label.tolist(), logits.argmax(1).tolist(), strict=True)):
            x, y = i % columns * self.cell, i // columns * (self.cell + _CAPTION)
            grid.paste(Image.fromarray(pixels[i]), (x, y))
            caption = f"{self._name(truth)} > {self._name(guess)}"
            draw.text((x + 2, y + self.cell + 1), caption, fill=_RIGHT if truth == guess else _WRONG)
        return torch.from_numpy(np.array(grid)).permute(2, 0, 1).float() / 255

    def _name(self, index: int) -> str:
        if self.classes and index >= len(self.classes):
            raise ConfigError(
                f"ClassificationGrid: classes has {len(self.classes)} names, but there is a class {index}"
            )
        return self.classes[index] if self.classes else str(index)
