"""Pictures in folders."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

Channels = Literal[1, 3]
_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def find_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder and the folders in it, by name; what begins with a dot is left out.

    Raises:
        FileNotFoundError: there are none.
    """
    named = (path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    found = sorted(path for path in named if not any(part[0] == "." for part in path.relative_to(folder).parts))
    if not found:
        what = "there are no pictures in it" if folder.is_dir() else "there is no such folder"
        raise FileNotFoundError(f"{folder}: {what}")
    return found


def read_picture(path: Path, channels: Channels = 3, size: int | None = None) -> Tensor:
    """A picture `(channels, H, W)` in [0, 1].

    Args:
        path: its file.
        channels: 1 is grey, 3 red, green and blue.
        size: cut its middle square out and scale it to this height and width; as it is unless given.

    Raises:
        ValueError: it is grey with more than 8 bits, which Pillow would cut off at 255.
    """
    with Image.open(path) as file:
        if file.mode.startswith(("I", "F")):
            raise ValueError(f"{path} is grey with more than 8 bits (Pillow's mode {file.mode})")
        image = ImageOps.exif_transpose(file).convert("L" if channels == 1 else "RGB")
    if size is not None:
        image = ImageOps.fit(image, (size, size))
    pixels = torch.from_numpy(np.array(image)).view(image.height, image.width, channels)
    return pixels.permute(2, 0, 1).float() / 255
