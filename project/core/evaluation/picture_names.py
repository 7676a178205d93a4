"""File names of the pictures that `predict` writes."""

from collections import Counter
from pathlib import Path

from PIL import Image

from project.core.data.datamodule import SampleNamer
from project.core.errors import ConfigError


class PictureNames:
    """File names of pictures, by index of the sample: `flower.png` for the sample `flower.jpg`.

    Samples whose names differ only in the type of the file keep it: `flower.jpg.png` and `flower.gif.png`.

    Args:
        name_of: returns the name of a sample; without it, the names are the indices.
        count: number of samples; None if it is not known, and the names keep types other than png.

    Raises:
        ConfigError: a name is no path in the directory of results.
    """

    def __init__(self, name_of: SampleNamer | None, count: int | None) -> None:
        self.name_of, self.is_known = name_of, count is not None
        names = map(name_of, range(count)) if name_of and count else ()
        self._stems = Counter(_stem(name).lower() for name in names)

    def __call__(self, index: int, repeats: int = 0) -> str:
        """Return the name of the `repeats`-th further picture of a sample."""
        name = self.name_of(index) if self.name_of else f"{index:06d}"
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConfigError(f"predict: the sample name {name!r} is no path in the directory of results")
        if not self.is_known:
            name = name.removesuffix(".png")
        elif self._stems[_stem(name).lower()] <= 1:
            name = _stem(name)
        return f"{name}.{repeats}.png" if repeats else f"{name}.png"


def _stem(name: str) -> str:
    """Return a name without the suffix of a picture file."""
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in Image.registered_extensions() else name
