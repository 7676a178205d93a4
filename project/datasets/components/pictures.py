"""Reading of picture files."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

Channels = Literal[1, 3]
_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def find_pictures(folder: Path) -> list[Path]:
    """Return the picture files in a directory and its subdirectories, sorted; names that begin with a dot are skipped.

    Raises:
        FileNotFoundError: the directory does not exist or contains no pictures.
    """
    named = (path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    found = sorted(path for path in named if not any(part[0] == "." for part in path.relative_to(folder).parts))
    if not found:
        raise FileNotFoundError(f"{folder} {'contains no pictures' if folder.is_dir() else 'is not a directory'}")
    return found


def read_picture(path: Path, channels: Channels = 3, size: int | None = None) -> Tensor:
    """Read a picture `(channels, H, W)` in [0, 1].

    Args:
        path: the picture file.
        channels: 1 for grey, 3 for RGB.
        size: height and width to which the central square is scaled; None keeps the picture as it is.

    Raises:
        ValueError: the picture is grey with more than 8 bits, which Pillow would clip at 255.
    """
    with Image.open(path) as file:
        if file.mode.startswith(("I", "F")):
            raise ValueError(f"{path} is grey with more than 8 bits (Pillow mode {file.mode})")
        image = ImageOps.exif_transpose(file).convert("L" if channels == 1 else "RGB")
    if size is not None:
        image = ImageOps.fit(image, (size, size))
    pixels = torch.from_numpy(np.array(image)).view(image.height, image.width, channels)
    return pixels.permute(2, 0, 1).float() / 255
