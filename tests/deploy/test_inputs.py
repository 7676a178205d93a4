"""Inputs are read with the same values from files, bytes and arrays; what cannot be read is told."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image, ImageOps

from project.deploy import inputs, jpeg
from project.deploy.inputs import Channels, InputError, Numbers, Picture, from_json, to_json

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def read_picture(source: Any, channels: Channels = 3, size: int | None = None) -> torch.Tensor:
    return torch.from_numpy(Picture(channels, size).read(source))


def test_channel_order_and_orientation(tmp_path: Path) -> None:
    pixels = np.array([[RED, GREEN, BLUE], [(0, 0, 0), (51, 102, 204), (255, 255, 255)]], dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert (picture.shape, picture.dtype) == ((3, 2, 3), torch.float32)
    torch.testing.assert_close(picture[:, 0], torch.eye(3))
    torch.testing.assert_close(picture[:, 1].T, torch.tensor([[0, 0, 0], [0.2, 0.4, 0.8], [1, 1, 1]]))


@pytest.mark.parametrize(("color", "grey"), [(RED, 0.299), (GREEN, 0.587), (BLUE, 0.114), (102, 0.4)])
def test_grey_is_the_luma_of_rgb(color: int | tuple[int, int, int], grey: float, tmp_path: Path) -> None:
    Image.new("L" if isinstance(color, int) else "RGB", (4, 3), color).save(tmp_path / "a.png")
    torch.testing.assert_close(read_picture(tmp_path / "a.png", 1), torch.full((1, 3, 4), grey), atol=1 / 255, rtol=0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_of_8_bits_is_read(mode: str, channels: Channels, tmp_path: Path) -> None:
    white = Image.new("RGB", (4, 3), "white").convert(mode)
    white.save(tmp_path / "a.tiff")
    assert torch.equal(read_picture(tmp_path / "a.tiff", channels), torch.ones(channels, 3, 4))


@pytest.mark.parametrize(
    ("dtype", "suffix"), [("uint16", "png"), ("uint16", "tiff"), ("int32", "tiff"), ("f4", "tiff")]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_more_than_8_bits_are_an_error(dtype: str, suffix: str, channels: Channels, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.full((3, 4), 1000, dtype=dtype)).save(path)
    with pytest.raises(InputError, match=f"{path} is grey with more than 8 bits"):
        read_picture(path, channels)


@pytest.mark.parametrize("size", [2, 4, 8])
@pytest.mark.parametrize("wide", [True, False])
def test_the_central_square_is_scaled(size: int, wide: bool, tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, 2:4], pixels[:, 4:6] = RED, BLUE  # the central square, surrounded by black
    Image.fromarray(pixels if wide else pixels.swapaxes(0, 1)).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png", size=size)
    assert picture.shape == (3, size, size)
    picture = picture if wide else picture.mT
    atol = 0.25 if size != 4 else 0  # scaling mixes neighbouring pixels
    for column, color in ((0, RED), (-1, BLUE)):
        expected = torch.tensor(color).float().view(3, 1).expand(3, size) / 255
        torch.testing.assert_close(picture[:, :, column], expected, atol=atol, rtol=0)


def test_exif_orientation_is_applied_before_scaling(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.array([[0, 255], [0, 255]], dtype=np.uint8)).save(tmp_path / "a.png", exif=exif)
    assert read_picture(tmp_path / "a.png", 1, 2)[0].tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpegs_have_the_values_of_pillow(
    is_fast: bool, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With simplejpeg and without: a run does not depend on whether it is installed."""
    if is_fast:
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setattr(jpeg, "simplejpeg", None)
    decoded = []

    def decode(data: bytes) -> np.ndarray | None:
        decoded.append(jpeg.decode_jpeg(data))
        return decoded[-1]

    monkeypatch.setattr(inputs, "decode_jpeg", decode)
    noise = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    settings: list[dict[str, Any]] = [{"quality": 30}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}]
    for number, options in enumerate(settings):
        for orientation in (1, 6):
            exif = Image.Exif()
            exif[0x0112] = orientation
            path = tmp_path / f"{number}.jpg"
            Image.fromarray(noise).convert(mode).save(path, exif=exif, **options)
            with Image.open(path) as image:
                plain = ImageOps.exif_transpose(image).convert("RGB")
            for size in (None, 20):
                shown = np.array(plain if size is None else ImageOps.fit(plain, (size, size)))
                expected = torch.from_numpy(shown).permute(2, 0, 1).float() / 255
                assert torch.equal(read_picture(path, 3, size), expected)
    assert [pixels is not None for pixels in decoded] == [is_fast] * (8 if mode == "RGB" else 0)


def test_simplejpeg_is_not_used_if_its_values_are_not_those_of_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other:
        """Package that decodes other values."""

        encode_jpeg = staticmethod(pytest.importorskip("simplejpeg").encode_jpeg)
        decode_jpeg = staticmethod(lambda data: np.zeros((35, 50, 3), np.uint8))

    jpeg._has_values_of_pillow.cache_clear()
    monkeypatch.setattr(jpeg, "simplejpeg", Other)
    Image.new("RGB", (4, 3), RED).save(tmp_path / "a.jpg")
    assert jpeg.decode_jpeg((tmp_path / "a.jpg").read_bytes()) is None
    jpeg._has_values_of_pillow.cache_clear()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [None, 3])
def test_sources_of_a_picture_have_the_same_values(
    size: int | None, mode: str, channels: Channels, tmp_path: Path
) -> None:
    """Also pixels that are converted and scaled, and the floats that were read."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    pixels = {"L": pixels[..., 0], "RGB": pixels[..., :3], "RGBA": pixels}[mode]
    path, picture = tmp_path / "a.png", Picture(channels, size)
    Image.fromarray(pixels).save(path)
    expected = picture.read(path)
    assert expected.shape == (channels, *((5, 7) if size is None else (3, 3)))
    with path.open("rb") as file:
        for source in (str(path), path.read_bytes(), bytearray(path.read_bytes()), file, pixels, expected):
            assert np.array_equal(picture.read(source), expected)
    with Image.open(path) as image:
        assert np.array_equal(picture.read(image), expected)
    if mode == "L":
        assert np.array_equal(picture.read(pixels[..., None]), expected)
    assert np.array_equal(Picture.to_floats(picture.read_pixels(path)), expected)
    assert expected.dtype == np.float32


def test_bytes_of_a_jpeg_have_the_values_of_the_file(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    for size in (None, 20):
        expected = read_picture(tmp_path / "a.jpg", 3, size)
        assert torch.equal(read_picture((tmp_path / "a.jpg").read_bytes(), 3, size), expected)


def test_floats_of_a_level_are_exact() -> None:
    """They are those of `float() / 255` in torch, in which the pictures of a training were divided."""
    levels = torch.arange(256, dtype=torch.uint8).view(16, 16, 1)
    assert torch.equal(torch.from_numpy(Picture.to_floats(levels.numpy())), levels.permute(2, 0, 1).float() / 255)


def write_broken(folder: Path) -> dict[str, Path]:
    """Write files that are no pictures, by what is wrong with them."""
    files = {name: folder / f"{name}.png" for name in ("text", "empty", "damaged", "missing", "folder", "large")}
    files["text"].write_text("no picture")
    files["empty"].write_bytes(b"")
    Image.new("L", (4, 3)).save(files["large"])
    noise = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(files["damaged"])
    files["damaged"].write_bytes(files["damaged"].read_bytes()[:-1000])
    files["folder"].mkdir()
    return files


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text", "it is no picture, or of a format that Pillow lacks"),
        ("empty", "it is no picture, or of a format that Pillow lacks"),
        ("damaged", "image file is truncated"),
        ("missing", "No such file or directory"),
        ("folder", "Is a directory"),
        ("large", "Image size (12 pixels) exceeds limit of 4 pixels, could be decompression bomb DOS attack."),
    ],
)
def test_files_that_cannot_be_read_are_named(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2 if name == "large" else None)
    path = write_broken(tmp_path)[name]
    with pytest.raises(InputError) as caught:
        Picture().read(path)
    assert str(caught.value).startswith(f"{path} cannot be read: {reason}")
    if path.is_file():
        with pytest.raises(InputError) as caught:
            Picture().read(path.read_bytes())
        assert str(caught.value).startswith(f"the picture cannot be read: {reason}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "int is no picture: give a file, the bytes of one, or a NumPy array"),
        (np.zeros((3, 8, 8), dtype=np.uint8), "an array (3, 8, 8) of uint8 is no picture: give pixels (H, W) or"),
        (np.zeros((8, 8, 2), dtype=np.uint8), "an array (8, 8, 2) of uint8 is no picture: "),
        (np.zeros((0, 8), dtype=np.uint8), "an array (0, 8) of uint8 is no picture: "),
        (np.zeros((8, 8), dtype=np.int64), "an array (8, 8) of int64 is no picture: "),
        (np.zeros((1, 4, 4)), "an array (1, 4, 4) of float64 is no picture (3, 4, 4)"),
        (np.zeros((3, 4, 5)), "an array (3, 4, 5) of float64 is no picture (3, 4, 4)"),
        (np.zeros((4, 4)), "an array (4, 4) of float64 is no picture (3, 4, 4)"),
        (np.full((3, 4, 4), np.nan), "an array (3, 4, 4) of float64 is empty or has values that are not in [0, 1]"),
        (np.full((3, 4, 4), 255.0), "an array (3, 4, 4) of float64 is empty or has values that are not in [0, 1]"),
        (np.full((3, 4, 4), -0.1), "an array (3, 4, 4) of float64 is empty or has values that are not in [0, 1]"),
    ],
    ids=["int", "channels first", "two channels", "empty", "int64", "grey", "wide", "flat", "NaN", "255", "negative"],
)
def test_arrays_that_are_no_pictures_are_told(source: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Picture(3, 4).read(source)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("numbers", "source", "expected"),
    [
        (Numbers((3,)), [1, 2, 3], np.array([1, 2, 3], np.float32)),
        (Numbers(), 0.5, np.array(0.5, np.float32)),
        (Numbers((None, 2), "int64"), [[1, 2]], np.array([[1, 2]])),
        (Numbers((None,), "int64"), [], np.array([], np.int64)),
        (Numbers((2,), "bool"), [True, False], np.array([True, False])),
        (Numbers((2,), "uint8"), [0, 255], np.array([0, 255], np.uint8)),
        (Numbers((1,)), [-np.inf], np.array([-np.inf], np.float32)),
        (Numbers((2, 2)), np.arange(4.0).reshape(2, 2).T, np.array([[0, 2], [1, 3]], np.float32)),
    ],
)
def test_numbers_are_read(numbers: Numbers, source: Any, expected: np.ndarray) -> None:
    array = numbers.read(source)
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(array, expected)
    assert array.flags.c_contiguous


@pytest.mark.parametrize(
    ("numbers", "source", "message"),
    [
        (Numbers((3,)), [1, 2], "an array (2,) of int64 has another shape than (3,)"),
        (Numbers((None, 2)), [1.0], "an array (1,) of float64 has another shape than (*, 2)"),
        (Numbers((2,), "int64"), [1.5, 2], "an array (2,) of float64 cannot be read as int64"),
        (Numbers((1,), "bool"), [1], "an array (1,) of int64 cannot be read as bool"),
        (Numbers((1,)), [True], "an array (1,) of bool cannot be read as float32"),
        (Numbers((1,)), ["1"], "an array (1,) of <U1 cannot be read as float32"),
        (Numbers((1,)), [None], "an array (1,) of object cannot be read as float32"),
        (Numbers((2,)), [1, np.nan], "an array (2,) of float64 contains NaN"),
        (Numbers((1,)), [1e300], "an array (1,) of float64 has a number that float32 cannot hold"),
        (Numbers((1,), "uint8"), [256], "an array (1,) of int64 has a number that uint8 cannot hold"),
        (Numbers((2, 2)), [[1, 2], [3]], "list is no array of float32: "),
    ],
)
def test_what_are_no_numbers_is_told(numbers: Numbers, source: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        numbers.read(source)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("raw", [Picture(), Picture(1, 8), Numbers(), Numbers((None, 3), "int64")])
def test_descriptions_survive_json(raw: Any) -> None:
    assert from_json(json.loads(json.dumps(to_json(raw)))) == raw


@pytest.mark.parametrize("description", [{}, {"kind": "sound"}, {"kind": "picture", "depth": 3}])
def test_json_that_describes_no_input_is_refused(description: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"describes no input$"):
        from_json(description)


@pytest.mark.parametrize("is_file", [True, False])
def test_eps_is_refused_before_ghostscript_runs(is_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a program, which Pillow would give to Ghostscript if that is installed."""
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n"
    path = tmp_path / "a.png"
    path.write_bytes(data)
    started: list[Any] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **_: started.append(arguments))
    with pytest.raises(InputError, match=r"is EPS, which is a program; give another format$"):
        Picture().read(path if is_file else data)
    assert started == []


def test_reading_needs_no_torch() -> None:
    """The machine on which a net is deployed has none."""
    code = "import sys, project.deploy.inputs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
