"""Files that are whole or not there."""

import os
import tempfile
from pathlib import Path

from PIL import Image
from torch import Tensor


def write_text(path: Path, text: str) -> None:
    """Writes a text file by way of a temporary one, so that nobody ever reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def write_picture(path: Path, picture: Tensor) -> None:
    """Writes a picture `(3, H, W)` in [0, 1] as a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (picture.detach().cpu().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    temporary = path.with_name(f".{path.name}")
    Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1)
    temporary.replace(path)
