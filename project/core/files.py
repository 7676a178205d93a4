"""Files that are whole or not there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from torch import Tensor


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name to write to; the file gets its own name when all is written, and is gone otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Makes `target` a second name of the file, or a copy where the file system has no such thing."""
    if target.exists() and source.samefile(target):
        return
    with whole(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def write_text(path: Path, text: str) -> None:
    """Writes a text file."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_picture(path: Path, picture: Tensor) -> None:
    """Writes a picture `(3, H, W)` in [0, 1] as a PNG."""
    pixels = (picture.detach().cpu().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    with whole(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1)
