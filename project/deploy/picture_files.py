"""Picture files in a directory, and their sizes."""

import os
from pathlib import Path

from PIL import Image

from project.deploy.inputs import read_orientation

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


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


def read_size(path: Path) -> tuple[int, int]:
    """Return the height and the width of a picture, which the header of the file tells."""
    with Image.open(path) as file:
        return (file.width, file.height) if read_orientation(file) > 4 else (file.height, file.width)
