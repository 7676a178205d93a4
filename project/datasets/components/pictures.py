"""Reading of picture files."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from project.datasets.components.jpeg import decode_jpeg

Channels = Literal[1, 3]
_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_ORIENTATION = 0x0112  # tag of EXIF


def find_pictures(folder: Path) -> list[Path]:
    """Return the picture files in a directory and its subdirectories, also those that are links, sorted.

    Names that begin with a dot are skipped.

    Raises:
        FileNotFoundError: the directory does not exist or contains no pictures.
    """
    found: list[Path] = []
    for directory, children, names in os.walk(folder, followlinks=True):
        children[:] = [name for name in children if name[0] != "."]
        files = (Path(directory, name) for name in names if name[0] != ".")
        found += [file for file in files if file.suffix.lower() in _SUFFIXES]
    if not found:
        raise FileNotFoundError(f"{folder} {'contains no pictures' if folder.is_dir() else 'is not a directory'}")
    return sorted(found)


def read_picture(path: Path, channels: Channels = 3, size: int | None = None) -> Tensor:
    """Read a picture `(channels, H, W)` in [0, 1].

    Args:
        path: the picture file.
        channels: 1 for grey, 3 for RGB.
        size: height and width to which the central square is scaled; None keeps the picture as it is.

    Raises:
        ValueError: the picture is grey with more than 8 bits, which Pillow would clip at 255.
    """
    return to_picture(read_pixels(path, channels, size))


def read_size(path: Path) -> tuple[int, int]:
    """Return the height and the width of a picture, which the header of the file tells."""
    with Image.open(path) as file:
        is_turned = file.getexif().get(_ORIENTATION, 1) > 4  # by 90 degrees
        return (file.width, file.height) if is_turned else (file.height, file.width)


def to_picture(pixels: Tensor) -> Tensor:
    """Return pixels `(H, W, channels)` as a picture `(channels, H, W)` in [0, 1]."""
    return pixels.permute(2, 0, 1).float().div_(255)


def read_pixels(path: Path, channels: Channels = 3, size: int | None = None) -> Tensor:
    """Read the pixels `(H, W, channels)` of a picture as uint8; the arguments are those of `read_picture`."""
    mode = "L" if channels == 1 else "RGB"
    with Image.open(path) as file:
        if file.mode.startswith(("I", "F")):
            raise ValueError(f"{path} is grey with more than 8 bits (Pillow mode {file.mode})")
        is_plain = file.format == "JPEG" and file.mode == mode == "RGB" and file.getexif().get(_ORIENTATION, 1) == 1
        decoded = decode_jpeg(path.read_bytes()) if is_plain else None
        if decoded is not None and size is None:
            return torch.from_numpy(decoded)
        # Each copy costs as much as a third of the decoding: none is made of a picture that is as it should be.
        image: Image.Image = file if decoded is None else Image.fromarray(decoded)
        ImageOps.exif_transpose(image, in_place=True)
        image = image if image.mode == mode else image.convert(mode)
        image = image if size is None else ImageOps.fit(image, (size, size))
        return torch.from_numpy(np.array(image)).view(image.height, image.width, channels)
