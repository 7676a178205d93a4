"""Pictures that clients send: those that cost too much, or show something else than the net is given, are refused."""

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image, UnidentifiedImageError

from project.deploy.inputs import FormatError, InputError, Picture, TooLargeError, describe_errors
from project.deploy.model_card import ModelCard

# What browsers show. Pillow opens 40 more formats; a TIFF file of a few MB may need a GB before its size is known.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
_MAX_PIXELS = 25_000_000
_MAX_READS = 100_000  # of a header, which Pillow reads in Python, piece by piece; photographs need about 100
# By the first bytes of a file: what takes time whenever it is repeated, and how often it may be. A scan of 30 bytes
# takes 20 ms, a profile of 1 kB takes 4 ms; programs write about 10 scans, and one profile.
_REPEATED = {b"\xff\xd8": (b"\xff\xda", 200, "scans"), b"\x89PNG": (b"iCCP", 10, "colour profiles")}


def largest_pixels(card: ModelCard) -> int:
    """Return the largest width x height of a picture that a server decodes for a model."""
    return card.largest_picture**2 if card.largest_picture else _MAX_PIXELS


def check_pictures(card: ModelCard, sample: Mapping[str, Any], max_pixels: int) -> None:
    """Check the pictures in a sample.

    Args:
        card: description of the model.
        sample: what a client sent, by the names of the inputs; pictures are the bytes of files.
        max_pixels: largest width x height of a picture, before it is scaled.

    Raises:
        TooLargeError: a picture has more pixels, or takes much time to decode.
        FormatError: a picture is no BMP, GIF, JPEG, PNG or WebP file, or has transparent pixels.
        InputError: a picture is damaged, or is not bytes.
    """
    for name, raw in card.inputs.items():
        if isinstance(raw, Picture) and name in sample:
            try:
                _check_picture(sample[name], max_pixels)
            except InputError as error:
                raise type(error)(f"{name}: {error}") from error


class _Header(io.BytesIO):
    """File whose header has few parts: one of 20 MB may have 5 million, which would take a minute."""

    _count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._count += 1
        if self._count > _MAX_READS:
            raise TooLargeError("the picture has a header of too many parts")
        return super().read(size)


def _check_picture(data: Any, max_pixels: int) -> None:
    if not isinstance(data, bytes):  # a text would be read as the path of a file
        raise InputError("the picture must be the bytes of a file")
    for start, (marker, most, words) in _REPEATED.items():
        if data.startswith(start) and data.count(marker) > most:
            raise TooLargeError(f"the picture has more than {most} {words}")
    with describe_errors("the picture"):
        try:
            image = Image.open(_Header(data), formats=_FORMATS)  # reads the header only
        except UnidentifiedImageError as error:
            raise FormatError("the picture is no BMP, GIF, JPEG, PNG or WebP file") from error
        with image:
            if image.width * image.height > max_pixels:
                raise TooLargeError(
                    f"the picture has {image.width} x {image.height} pixels; at most {max_pixels} are accepted"
                )
            # Their colours, which nobody sees, would be read, as they are of the files for training.
            if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                raise FormatError("the picture has transparent pixels; put it on a background")
