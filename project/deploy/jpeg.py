"""Decoding of JPEGs with simplejpeg, if it is installed (`pip install -e '.[fast]'`): faster, with Pillow's values."""

import io
from functools import cache

import numpy as np
from PIL import Image

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

_SUBSAMPLINGS = ("444", "422", "420", "440", "411")


def decode_jpeg(data: bytes) -> np.ndarray | None:
    """Return the pixels `(H, W, 3)` of an RGB JPEG.

    Return None where Pillow must decode it: simplejpeg is not installed, or its values are not Pillow's, because one of
    the two was built with another version of libjpeg-turbo, or the file is damaged.
    """
    if simplejpeg is None or not _has_values_of_pillow():
        return None
    try:
        return np.asarray(simplejpeg.decode_jpeg(data))
    except ValueError:  # Pillow tells what is wrong, or reads the file all the same
        return None


@cache
def _has_values_of_pillow() -> bool:
    noise = np.random.default_rng(0).integers(0, 256, (35, 50, 3), dtype=np.uint8)
    samples = [simplejpeg.encode_jpeg(noise, colorsubsampling=name) for name in _SUBSAMPLINGS]
    return all(
        np.array_equal(simplejpeg.decode_jpeg(data), np.asarray(Image.open(io.BytesIO(data)))) for data in samples
    )
