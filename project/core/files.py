"""Atomic writing of files, without torch."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; rename it to `path` after the `with` block, remove it after an error.

    Example::

        with atomic_write(Path("results.txt")) as temporary:
            temporary.write_text("whole or not there")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(
        missing_ok=True
    )  # of an earlier process, or a link to another file, in a directory of somebody else's
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Make `target` a hard link to a file, or a copy where the file system has no hard links."""
    if target.exists() and source.samefile(target):
        return
    with atomic_write(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def write_text(path: Path, text: str) -> None:
    """Write a text file; bytes that are not UTF-8, which Python escapes in paths, become themselves again."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


def write_picture(path: Path, picture: "Tensor") -> None:
    """Write a picture `(3, H, W)`, or a grey one `(1, H, W)`, in [0, 1] as a PNG file."""
    with atomic_write(path) as temporary:
        to_image(picture).save(temporary, format="PNG", compress_level=1)


def to_image(picture: "Tensor") -> Image.Image:
    """Convert a picture `(3, H, W)`, or a grey one `(1, H, W)`, in [0, 1] to an image of Pillow."""
    pixels = (picture.detach().cpu().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
