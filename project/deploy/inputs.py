"""Raw inputs of a net: what they are, and how they are read. Datasets, `predict` and exported models share them."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from project.deploy.jpeg import decode_jpeg

Channels = Literal[1, 3]
_TURNS = {  # that show a picture upright, by its orientation in EXIF
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MODES = {1: "L", 3: "RGB"}  # of Pillow, by the number of channels
_READ_AS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf", "c": "iufc"}  # kinds of NumPy's dtypes that become a kind


class InputError(ValueError):
    """An input cannot be read; the message is for whoever gave it."""


class FormatError(InputError):
    """No picture, or one of a format or mode that is not read."""


class TooLargeError(InputError):
    """A picture with more pixels than are decoded."""


@dataclass(frozen=True)
class Picture:
    """A picture: a file, the bytes of one, or an array.

    Args:
        channels: 1 for grey, 3 for RGB.
        size: height and width to which the central square is scaled; None keeps the picture as it is.

    Example::

        Picture(channels=3, size=64).read("flower.jpg")  # (3, 64, 64) float32 in [0, 1]
    """

    channels: Channels = 3
    size: int | None = None
    dtype: ClassVar[str] = "float32"

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Shape of one sample; None is any length."""
        return (self.channels, self.size, self.size)

    def read(self, source: Any) -> np.ndarray:
        """Return the picture `(channels, H, W)`, float32 in [0, 1].

        Args:
            source: path of a file, the bytes of one, an open binary file, an image of Pillow, an array of pixels
                `(H, W)` or `(H, W, C)` uint8, or one of floats `(channels, H, W)` in [0, 1], which is only checked.

        Raises:
            InputError: the picture cannot be read; the message names its file.
        """
        if isinstance(source, np.ndarray) and source.dtype.kind == "f":
            return self._check_floats(source)
        return self.to_floats(self.read_pixels(source))

    def read_pixels(self, source: Any) -> np.ndarray:
        """Return the pixels `(H, W, channels)` as uint8; the argument is that of `read`, but no floats."""
        if isinstance(source, np.ndarray):
            return self._to_pixels(_as_image(source))
        is_file, is_open = isinstance(source, str | os.PathLike), hasattr(source, "read")
        if not (is_file or is_open or isinstance(source, bytes | bytearray | memoryview | Image.Image)):
            raise InputError(f"{type(source).__name__} is no picture: give a file, the bytes of one, or a NumPy array")
        name = os.fspath(source) if is_file else "the picture"
        with describe_errors(name):
            if isinstance(source, Image.Image):
                _check_format(source, name)
                return self._to_pixels(turn_upright(source))
            if is_file:
                return self._decode(source, name)
            return self._decode(io.BytesIO(source.read() if is_open else source), name)

    @staticmethod
    def to_floats(pixels: np.ndarray) -> np.ndarray:
        """Return pixels `(H, W, channels)` as a picture `(channels, H, W)`, float32 in [0, 1]."""
        picture: np.ndarray = pixels.transpose(2, 0, 1).astype(np.float32)  # in memory, channels stay last: faster
        picture /= np.float32(255)
        return picture

    def _decode(self, file: Any, name: str) -> np.ndarray:
        mode = _MODES[self.channels]
        with Image.open(file) as image:
            _check_format(image, name)
            is_plain = image.format == "JPEG" and image.mode == mode == "RGB" and read_orientation(image) == 1
            decoded = decode_jpeg(_read_bytes(file)) if is_plain else None
            if decoded is not None and self.size is None:
                return decoded
            # Each copy costs as much as a third of the decoding: none is made of a picture that is as it should be.
            shown: Image.Image = image if decoded is None else Image.fromarray(decoded)
            return self._to_pixels(turn_upright(shown))

    def _to_pixels(self, image: Image.Image) -> np.ndarray:
        mode = _MODES[self.channels]
        image = image if image.mode == mode else image.convert(mode)
        if self.size is not None and image.size != (self.size, self.size):
            image = ImageOps.fit(image, (self.size, self.size))
        return np.array(image).reshape(image.height, image.width, self.channels)

    def _check_floats(self, picture: np.ndarray) -> np.ndarray:
        if not fits(picture.shape, self.shape):
            raise InputError(f"{_describe(picture)} is no picture {_show(self.shape)}")
        if not (picture.size and picture.min() >= 0 and picture.max() <= 1):  # also if one is NaN
            raise InputError(
                f"{_describe(picture)} is empty or has values that are not in [0, 1]; give pixels as uint8"
            )
        return picture.astype(np.float32, copy=False)


@dataclass(frozen=True)
class Numbers:
    """An array of numbers.

    Args:
        shape: shape of one sample; None is any length.
        dtype: name of a dtype of NumPy.

    Example::

        Numbers(shape=(3,)).read([1, 2, 3])  # (3,) float32
    """

    shape: tuple[int | None, ...] = ()
    dtype: str = "float32"

    def read(self, source: Any) -> np.ndarray:
        """Return the array of an array or nested list.

        Raises:
            InputError: it has another shape or dtype, or contains NaN or a number that the dtype cannot hold.
        """
        dtype = np.dtype(self.dtype)
        try:
            given = np.asarray(source)
        except (TypeError, ValueError) as error:  # lists of different lengths, for one
            raise InputError(f"{type(source).__name__} is no array of {self.dtype}: {error}") from error
        if given.size and given.dtype.kind not in _READ_AS.get(dtype.kind, ""):
            raise InputError(f"{_describe(given)} cannot be read as {self.dtype}")
        if not fits(given.shape, self.shape):
            raise InputError(f"{_describe(given)} has another shape than {_show(self.shape)}")
        with np.errstate(all="ignore"):
            array = np.ascontiguousarray(given, dtype).reshape(given.shape)  # which makes a scalar (1,)
        if dtype.kind in "fc":
            if np.isnan(given).any():
                raise InputError(f"{_describe(given)} contains NaN")
            is_kept = np.array_equal(np.isinf(array), np.isinf(given))
        else:
            is_kept = np.array_equal(array, given)
        if not is_kept:
            raise InputError(f"{_describe(given)} has a number that {self.dtype} cannot hold")
        return array


Input = Picture | Numbers
_KINDS: dict[str, type[Picture] | type[Numbers]] = {"picture": Picture, "numbers": Numbers}


def fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    """Return whether a shape is the expected one, in which None is any length."""
    return len(shape) == len(expected) and all(
        own in (None, length) for own, length in zip(expected, shape, strict=True)
    )


def to_json(raw: Input) -> dict[str, Any]:
    """Return a description of an input that JSON can hold."""
    return {"kind": type(raw).__name__.lower(), **asdict(raw)}


def from_json(description: Mapping[str, Any]) -> Input:
    """Return the input of a description.

    Raises:
        InputError: it describes no input.
    """
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in description.items()
    }
    try:
        return _KINDS[values.pop("kind")](**values)
    except (KeyError, TypeError) as error:
        raise InputError(f"{dict(description)} describes no input") from error


def read_orientation(image: Image.Image) -> int:
    """Return how a picture must be turned, as EXIF counts: 1 is upright, and more than 4 is by 90 degrees."""
    if image.format == "TIFF":  # Pillow turns it
        return 1
    try:
        orientation: int = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF raises anything; browsers show the picture as it is stored
        return 1
    return orientation if orientation in _TURNS else 1


def turn_upright(image: Image.Image) -> Image.Image:
    """Return a picture as its EXIF orientation shows it; itself if it is upright.

    Pillow's `exif_transpose` would write the other EXIF data again, and fail for damaged ones.
    """
    orientation = read_orientation(image)
    return image if orientation == 1 else image.transpose(_TURNS[orientation])


@contextmanager
def describe_errors(name: str) -> Iterator[None]:
    """Raise InputError for whatever Pillow raises when it reads a picture.

    Args:
        name: how messages name the picture.
    """
    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise FormatError(f"{name} cannot be read: it is no picture, or of a format that Pillow lacks") from error
    except Exception as error:  # a damaged file raises anything
        kind = TooLargeError if isinstance(error, Image.DecompressionBombError) else InputError
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise kind(f"{name} cannot be read: {reason}") from error


def _check_format(image: Image.Image, name: str) -> None:
    """Raise FormatError if a picture must not be read; nothing but the header of its file has been read."""
    if image.format == "EPS":  # Pillow would run Ghostscript, which executes the program in the file
        raise FormatError(f"{name} is EPS, which is a program; give another format")
    if image.mode.startswith(("I", "F")):
        raise FormatError(f"{name} is grey with more than 8 bits (Pillow mode {image.mode})")


def _as_image(pixels: np.ndarray) -> Image.Image:
    """Return pixels `(H, W)` or `(H, W, C)` as an image of Pillow."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in (1, 3, 4) or not pixels.size:
        raise InputError(
            f"{_describe(pixels)} is no picture: give pixels (H, W) or (H, W, C) of uint8, or floats (C, H, W)"
        )
    return Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and channels == 1 else pixels)


def _read_bytes(file: io.BytesIO | str | os.PathLike[str]) -> bytes:
    return file.getvalue() if isinstance(file, io.BytesIO) else Path(file).read_bytes()


def _describe(array: np.ndarray) -> str:
    return f"an array {array.shape} of {array.dtype}"


def _show(shape: tuple[int | None, ...]) -> str:
    """Return a shape in which `*` is any length."""
    return str(shape).replace("None", "*")
