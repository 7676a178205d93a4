"""Files of each format and mode are read with the values that people see, or refused."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from project.deploy.inputs import Channels, FormatError, InputError, Picture, TooLargeError
from project.deploy.picture_files import read_size
from tests.deploy.picture_bytes import chunk, encode, exif_with, orientation, png

STORED = 40 * np.arange(6, dtype=np.uint8).reshape(2, 3)
SHOWN = {
    1: STORED,
    2: STORED[:, ::-1],
    3: STORED[::-1, ::-1],
    4: STORED[::-1],
    5: STORED.T,
    6: STORED[::-1].T,  # rotated clockwise
    7: STORED[::-1, ::-1].T,
    8: STORED[:, ::-1].T,  # rotated counterclockwise
}
PALETTE = chunk(b"PLTE", bytes([255, 0, 0, 0, 128, 0]))


def levels(data: bytes, channels: Channels = 3) -> list[list[int]]:
    """Return the levels of each channel of a picture."""
    picture = Picture(channels).read(data)
    scaled = 255 * picture.reshape(channels, -1)
    assert np.abs(scaled - scaled.round()).max() < 1e-4
    return [row.tolist() for row in scaled.round().astype(int)]


@pytest.mark.parametrize("number", SHOWN)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_in_every_format(kind: str, number: int, tmp_path: Path) -> None:
    """The header tells the size of the picture that is read, also of TIFF, which Pillow turns itself."""
    blocks = np.kron(STORED, np.ones((8, 8), np.uint8))  # a block of a JPEG keeps its value
    options: dict[str, Any] = {"quality": 100} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    path = tmp_path / "a"
    path.write_bytes(encode(Image.fromarray(blocks).convert("RGB"), kind, exif=orientation(number), **options))
    picture = Picture(3).read(path)
    assert picture.shape[1:] == read_size(path)
    shown = np.kron(SHOWN[number], np.ones((8, 8), np.uint8))
    np.testing.assert_allclose(255 * picture, np.stack([shown] * 3), atol=1 if kind == "JPEG" else 1e-4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("exif", "is_turned"),
    [
        (b"Exif\0\0nonsense", False),
        (b"Exif\0\0II*\0", False),
        (b"nonsense", False),
        (exif_with((0x112, 3, 1, 9)), False),
        (exif_with((0x112, 2, 2, ord("6"))), False),
        (exif_with((0x112, 3, 1, 6), (0x8769, 4, 1, 99999), (0x10E, 2, 100, 5000)), True),
        (exif_with((0x100, 12, 1, 2), (0x102, 5, 3, 10), (0x112, 3, 1, 6), (0x8825, 4, 1, 7)), True),
    ],
    ids=["nonsense", "short", "no EXIF", "orientation 9", "text", "offsets", "types"],
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_does_not_hide_a_picture(exif: bytes, is_turned: bool, kind: str) -> None:
    """Browsers show it: other programs write such data, and Pillow may fail when it writes it again."""
    picture = Picture(1).read(encode(Image.new("L", (6, 4), 100), kind, exif=exif))
    np.testing.assert_allclose(255 * picture, np.full((1, 6, 4) if is_turned else (1, 4, 6), 100), atol=1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png(2, 1, 1, 0, b"\x40"), [[0, 255]] * 3),
        (png(2, 1, 2, 0, b"\x70"), [[85, 255]] * 3),
        (png(2, 1, 4, 0, b"\x1f"), [[17, 255]] * 3),
        (png(2, 1, 8, 3, b"\0\1", PALETTE), [[255, 0], [0, 128], [0, 0]]),
        (png(2, 1, 8, 3, b"\0\1", PALETTE + chunk(b"tRNS", b"\xff\xff")), [[255, 0], [0, 128], [0, 0]]),
        (png(1, 1, 8, 4, b"\x07\xff"), [[7]] * 3),
        (png(1, 1, 8, 6, b"\x07\x08\x09\xff"), [[7], [8], [9]]),
        (png(1, 1, 16, 2, struct.pack(">3H", 3 * 257, 128 * 257, 65535)), [[3], [128], [255]]),
        (png(1, 1, 16, 6, struct.pack(">4H", 3 * 257, 128 * 257, 65535, 65535)), [[3], [128], [255]]),
        (png(1, 1, 16, 4, struct.pack(">2H", 3 * 257, 65535)), [[3]] * 3),
        (b"P6 1 1 65535\n" + struct.pack(">3H", 3 * 257, 128 * 257, 65535), [[3], [128], [255]]),
        (b"P6 1 1 5\n\1\2\5", [[51], [102], [255]]),
        (encode(Image.new("RGB", (1, 1), (7, 8, 9)), "BMP"), [[7], [8], [9]]),
        (encode(Image.new("RGB", (1, 1), (7, 8, 9)), "GIF"), [[7], [8], [9]]),
        (encode(Image.new("RGB", (1, 1), (7, 8, 9)), "WEBP", lossless=True), [[7], [8], [9]]),
    ],
    ids=[
        "1 bit",
        "2 bits",
        "4 bits",
        "palette",
        "opaque palette",
        "LA",
        "RGBA",
        "16 bits",
        "16 bits RGBA",
        "16 bits LA",
        "PPM 16",
        "PPM 5",
        "BMP",
        "GIF",
        "WebP",
    ],
)
@pytest.mark.filterwarnings("ignore:Palette images:UserWarning")
def test_levels_of_each_mode(data: bytes, expected: list[list[int]]) -> None:
    assert levels(data) == expected


def test_palette_becomes_grey_by_its_colours() -> None:
    assert levels(png(2, 1, 8, 3, b"\0\1", PALETTE), 1) == [[76, 75]]  # 0.299 of red, 0.587 of green


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_first_of_several_frames_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in [(200, 100, 50), (0, 0, 0), (255, 255, 255)]]
    options: dict[str, Any] = {"quality": 100} if kind == "MPO" else {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    picture = Picture(3).read(data)
    assert picture.shape == (3, 16, 16)
    for channel, level in zip(255 * picture, (200, 100, 50), strict=True):
        np.testing.assert_allclose(channel, level, atol=2 if kind == "MPO" else 1e-4)


def cmyk_jpeg(inks: tuple[int, ...]) -> bytes:
    """Return a JPEG of one colour."""
    return encode(Image.new("CMYK", (16, 16), inks), "JPEG", quality=100)


def as_ycck(inks: tuple[int, int, int, int]) -> bytes:
    """Return a JPEG of YCCK, as Photoshop writes them: the inks but black as luminance and colour."""
    first = Image.new("RGB", (1, 1), inks[:3]).convert("YCbCr").getpixel((0, 0))
    stored = (*(255 - each for each in first), inks[3])  # type: ignore[union-attr]
    data = bytearray(cmyk_jpeg(stored))
    data[data.index(b"Adobe") + 11] = 2  # the transform: from YCCK
    return bytes(data)


def without_marker(inks: tuple[int, int, int, int]) -> bytes:
    """Return a JPEG of CMYK without the marker of Adobe, whose inks are inverted all the same."""
    data = cmyk_jpeg(inks)
    start = data.index(b"Adobe") - 4
    return data[:start] + data[start + 16 :]


@pytest.mark.parametrize("write", [cmyk_jpeg, as_ycck, without_marker])
@pytest.mark.parametrize("inks", [(0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255), (100, 50, 20, 30)])
def test_inks_are_not_inverted(
    inks: tuple[int, int, int, int], write: Callable[[tuple[int, int, int, int]], bytes]
) -> None:
    """Without the profile of the inks, a colour is what they leave of white."""
    picture = 255 * Picture(3).read(write(inks))
    for channel, ink in zip(picture, inks[:3], strict=True):
        np.testing.assert_allclose(channel, (255 - ink) * (255 - inks[3]) / 255, atol=2)


def test_jpeg_of_rgb_is_not_read_as_luminance() -> None:
    picture = 255 * Picture(3).read(
        encode(Image.new("RGB", (16, 16), (200, 100, 50)), "JPEG", keep_rgb=True, quality=100)
    )
    for channel, level in zip(picture, (200, 100, 50), strict=True):
        np.testing.assert_allclose(channel, level, atol=2)


def change(data: bytes, position: int) -> bytes:
    """Return bytes of which one has another bit."""
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


PIXELS = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
JPEG, PNG = encode(PIXELS, "JPEG"), encode(PIXELS)
GREY = png(4, 4, 8, 0, b"\5\5\5\5")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", FormatError),
        (b"no picture", FormatError),
        (png(4, 4, 16, 0, bytes(8)), FormatError),
        (png(0, 4, 8, 0, b""), FormatError),
        (change(GREY, 30), FormatError),  # the checksum of the header
        (JPEG[:20], FormatError),
        (JPEG[: len(JPEG) // 2], InputError),
        (PNG[: len(PNG) // 2], InputError),
        (png(100, 90, 8, 0, bytes(10)), InputError),
        (png(1, 1, 8, 0, b"\0", chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000)))), InputError),
        (png(60_000, 60_000, 8, 0, b""), TooLargeError),
    ],
    ids=[
        "empty",
        "text",
        "16 bits",
        "no pixels",
        "checksum",
        "start",
        "half a JPEG",
        "half a PNG",
        "few pixels",
        "long text",
        "huge",
    ],
)
def test_what_cannot_be_read_is_told(data: bytes, kind: type[InputError]) -> None:
    with pytest.raises(InputError, match=r"^the picture (cannot be read: |is grey with more than 8 bits)") as caught:
        Picture().read(data)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
