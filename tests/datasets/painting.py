"""Pictures for the tests of this folder."""

from pathlib import Path

from PIL import Image


def paint(path: Path, color: int | tuple[int, int, int] = 0, width: int = 4, height: int = 3) -> None:
    """Writes a picture of one color; a number is a grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(color, int) else "RGB", (width, height), color).save(path)
