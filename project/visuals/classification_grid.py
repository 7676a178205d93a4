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

_LINE, _MARGIN = 14, 2  # height of a line of a caption, and its distance from the left, in pixels
_RIGHT, _WRONG = (120, 220, 120), (255, 110, 110)


@VISUAL_REGISTRY.register()
class ClassificationGrid(Visual):
    """Grid of pictures, each with the label and the predicted class below: green if correct, red if wrong.

    If a caption is wider than its picture, all have two lines, and names that are too long lose their middle.

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
        pairs = list(zip(label.tolist(), logits.argmax(1).tolist(), strict=True))
        captions = self._captions(pairs)
        height = self.cell + _LINE * max(map(len, captions))
        grid = Image.new("RGB", (columns * self.cell, rows * height))
        draw = ImageDraw.Draw(grid)
        for i, (truth, guess) in enumerate(pairs):
            x, y = i % columns * self.cell, i // columns * height
            grid.paste(Image.fromarray(pixels[i]), (x, y))
            for number, line in enumerate(captions[i]):
                place = (x + _MARGIN, y + self.cell + 1 + number * _LINE)
                draw.text(place, line, fill=_RIGHT if truth == guess else _WRONG)
        return torch.from_numpy(np.array(grid)).permute(2, 0, 1).float() / 255

    def _captions(self, pairs: list[tuple[int, int]]) -> list[list[str]]:
        """Return the lines of each caption, given labels and predicted classes: one line if all fit, else two."""
        width = self.cell - _MARGIN
        names = [(self._name(truth), f"> {self._name(guess)}") for truth, guess in pairs]
        if all(_width(" ".join(both)) <= width for both in names):
            return [[" ".join(both)] for both in names]
        return [[_shorten(line, width) for line in both] for both in names]

    def _name(self, index: int) -> str:
        if self.classes and index >= len(self.classes):
            raise ConfigError(
                f"ClassificationGrid: classes has {len(self.classes)} names, but there is a class {index}"
            )
        return " ".join(self.classes[index].split()) if self.classes else str(index)


def _width(text: str) -> float:
    """Return the width of a text in pixels."""
    return ImageDraw.Draw(Image.new("1", (1, 1))).textlength(text)


def _shorten(text: str, width: float) -> str:
    """Return a text without as much of its middle as makes it wider than `width`: names often differ at their ends."""
    kept, shown = len(text), text
    while _width(shown) > width and kept:
        kept -= 1
        shown = f"{text[: (kept + 1) // 2]}..{text[len(text) - kept // 2 :]}"
    return shown if _width(shown) <= width else ""
