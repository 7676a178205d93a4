"""Pictures for the tests of this package."""

from pathlib import Path

from PIL import Image


def paint(path: Path, color: int | tuple[int, int, int] = 0, width: int = 4, height: int = 3) -> None:
    """Write a picture of one color; an integer is a grey value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(color, int) else "RGB", (width, height), color).save(path)
