"""Pictures of clients are right or refused, before they cost memory or time."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from project.deploy.inputs import FormatError, InputError, Picture, TooLargeError
from project.deploy.model_card import Length
from project.deploy.server.uploads import check_pictures, largest_pixels
from tests.deploy.onnx_files import card_with
from tests.deploy.picture_bytes import chunk, encode, orientation, png
from tests.deploy.server.conftest import Client
from tests.deploy.server.picture_model import write_picture_model

CARD = card_with(inputs={"image": Picture(3)}, shapes={"image": (Length(3, 3), Length(), Length())})
PALETTE = chunk(b"PLTE", bytes([255, 0, 0, 0, 128, 0]))


def check(data: Any, max_pixels: int = 1000) -> None:
    """Check a picture as the only input."""
    check_pictures(CARD, {"image": data}, max_pixels)


def repeat_scan(count: int) -> bytes:
    """Return a JPEG whose last scan is repeated."""
    data = encode(Image.new("L", (16, 16)), "JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * count + data[-2:]


def with_profiles(count: int) -> bytes:
    """Return a PNG with colour profiles."""
    return png(1, 1, 8, 0, b"\0", chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(1000))) * count)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "MPO", "PNG", "WEBP"])
def test_formats_that_browsers_show_are_accepted(kind: str) -> None:
    """With every orientation; MPO is what telephones call JPEG."""
    for number in range(1, 9):
        check(encode(Image.new("RGB", (50, 20)), kind, exif=orientation(number)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n",
        encode(Image.new("RGB", (4, 4)), "TIFF"),
        encode(Image.new("RGB", (4, 4)), "PPM"),
        encode(Image.new("RGB", (4, 4)), "ICO"),
        encode(Image.new("RGB", (4, 4)), "TGA"),
    ],
    ids=["empty", "text", "EPS", "TIFF", "PPM", "ICO", "TGA"],
)
def test_other_formats_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"^image: the picture is no BMP, GIF, JPEG, PNG or WebP file$"):
        check(data)


@pytest.mark.parametrize(
    ("data", "is_opaque"),
    [
        (png(1, 1, 8, 6, b"\7\7\7\xff"), True),
        (png(1, 1, 8, 6, b"\7\7\7\xfe"), False),
        (png(1, 1, 8, 4, b"\7\xff"), True),
        (png(1, 1, 8, 4, b"\7\0"), False),
        (png(2, 1, 8, 0, b"\7\7", chunk(b"tRNS", b"\0\6")), True),
        (png(2, 1, 8, 0, b"\7\6", chunk(b"tRNS", b"\0\6")), False),
        (png(1, 1, 8, 2, b"\7\6\5", chunk(b"tRNS", struct.pack(">3H", 7, 6, 5))), False),
        (png(2, 1, 8, 3, b"\0\1", PALETTE + chunk(b"tRNS", b"\xff\xff")), True),
        (png(2, 1, 8, 3, b"\0\0", PALETTE + chunk(b"tRNS", b"\xff\0")), True),
        (png(2, 1, 8, 3, b"\0\1", PALETTE + chunk(b"tRNS", b"\xff\0")), False),
        (encode(Image.new("RGBA", (4, 4), (7, 7, 7, 255)), "WEBP", lossless=True), True),
        (encode(Image.new("RGBA", (4, 4), (7, 7, 7, 9)), "WEBP", lossless=True), False),
        (encode(Image.new("P", (4, 4), 1), "GIF", transparency=0), True),
        (encode(Image.new("P", (4, 4), 0), "GIF", transparency=0), False),
    ],
)
def test_transparent_pixels_are_refused(data: bytes, is_opaque: bool) -> None:
    """Else the net would be given their hidden colours, which are mostly black."""
    if is_opaque:
        check(data)
        return
    with pytest.raises(FormatError, match=r"^image: the picture has transparent pixels; put it on a background$"):
        check(data)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "WEBP"])
def test_larger_pictures_are_refused_before_they_are_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(encode(Image.new("L", (40, 25)), kind))
    data = encode(Image.new("L", (41, 25)), kind)
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    with pytest.raises(TooLargeError, match=r"^image: the picture has 41 x 25 pixels; at most 1000 are accepted$"):
        check(data)


def with_comments(count: int) -> bytes:
    """Return a JPEG with empty comments."""
    data = encode(Image.new("L", (16, 16)), "JPEG")
    return data[:2] + b"\xff\xfe\0\2" * 4000 * count + data[2:]


@pytest.mark.parametrize(
    ("write", "most", "message"),
    [
        (repeat_scan, 190, "image: the picture has more than 200 scans"),
        (with_profiles, 10, "image: the picture has more than 10 colour profiles"),
        (with_comments, 1, "image: the picture has a header of too many parts"),
        (lambda count: png(60_000, 60_000 if count > 1 else 0, 8, 0, b""), 0, "image: the picture cannot be read: "),
    ],
    ids=["scans", "profiles", "comments", "pixels"],
)
def test_bombs_are_refused(write: Callable[[int], bytes], most: int, message: str) -> None:
    """A few kB would need a GB, or minutes."""
    if most:
        check(write(most))
    with pytest.raises(TooLargeError) as caught:
        check(write(most + 12))
    assert str(caught.value).startswith(message)


def test_damaged_picture_and_path_are_no_other_format(tmp_path: Path) -> None:
    """A path of the client is never opened."""
    data = encode(Image.effect_noise((8, 8), 50).convert("RGBA"))
    (tmp_path / "a.png").write_bytes(data)
    for source in (data[: len(data) // 2], str(tmp_path / "a.png"), [[1, 2]], None):
        with pytest.raises(InputError) as caught:
            check(source)
        assert type(caught.value) is InputError


@pytest.mark.parametrize(("largest", "expected"), [(None, 25_000_000), (300, 90_000)])
def test_limit_of_a_model_is_what_it_computes_in_a_gigabyte(largest: int | None, expected: int) -> None:
    assert largest_pixels(card_with(largest_picture=largest)) == expected


def test_status_of_each_picture(start: Callable[..., Client], tmp_path: Path) -> None:
    pictures = start(model=write_picture_model(tmp_path / "model.onnx", largest_picture=12))
    cases = {
        "large": (encode(Image.new("L", (13, 12))), 413),
        "bomb": (png(60_000, 60_000, 8, 0, b""), 413),
        "scans": (repeat_scan(300), 413),
        "transparent": (encode(Image.new("RGBA", (4, 4))), 415),
        "TIFF": (encode(Image.new("RGB", (4, 4)), "TIFF"), 415),
        "16 bits": (png(4, 4, 16, 0, bytes(8)), 415),
        "text": (b"no picture", 415),
        "half": (encode(Image.effect_noise((8, 8), 50))[:70], 422),
    }
    for name, (data, status) in cases.items():
        answer = pictures.request("POST", "/predict", data, Content_Type="image/png")
        assert (answer.status, name) == (status, name)
        assert answer.json["detail"].startswith("image: the picture ")
    right = encode(Image.new("L", (12, 12), 51))
    answer = pictures.request("POST", "/predict", right, Content_Type="image/png")
    assert answer.json["predictions"][0]["class_names"] == {"label": "white"}
