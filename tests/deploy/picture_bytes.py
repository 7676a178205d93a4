"""Picture files made in memory: with every orientation, with damaged EXIF, and PNG files chunk by chunk."""

import io
import struct
import zlib
from typing import Any

from PIL import ExifTags, Image

PNG_START = b"\x89PNG\r\n\x1a\n"


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return the file of an image."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def orientation(number: int) -> Image.Exif:
    """Return EXIF data with an orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = number
    return exif


def exif_with(*entries: tuple[int, int, int, int]) -> bytes:
    """Return EXIF data with entries `(tag, type, count, value)`, which need not be valid."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour: int, row: bytes, extra: bytes = b"") -> bytes:
    """Return a PNG file.

    Args:
        width: width of the picture.
        height: height of the picture.
        bits: bits of a channel.
        colour: kind of the pixels: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
        row: bytes of each row.
        extra: chunks before the pixels.
    """
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + row) * min(height, 100)))
    return PNG_START + header + extra + pixels + chunk(b"IEND", b"")
