from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from project.datasets.components import jpeg, pictures
from project.datasets.components.pictures import Channels, find_pictures, read_picture
from tests.datasets.painting import paint

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_pictures_are_found_recursively_and_sorted(tmp_path: Path) -> None:
    """Also in directories that are links: else a class would have no samples."""
    names = ["B.PNG", "a.jpeg", "c.png", "d/a.bmp", "d/e/z.tiff"]
    folder = tmp_path / "set"
    for name in reversed(names):
        paint(folder / name)
    paint(tmp_path / "elsewhere/a.png")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "notes.txt").write_text("no picture")
    found = [path.relative_to(folder).as_posix() for path in find_pictures(folder)]
    assert found == [*names, "link/a.png"]


def test_no_pictures_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} contains no pictures"):
        find_pictures(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / 'nowhere'} is not a directory"):
        find_pictures(tmp_path / "nowhere")


def test_channel_order_and_orientation(tmp_path: Path) -> None:
    pixels = np.array([[RED, GREEN, BLUE], [(0, 0, 0), (51, 102, 204), (255, 255, 255)]], dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert (picture.shape, picture.dtype) == ((3, 2, 3), torch.float32)
    torch.testing.assert_close(picture[:, 0], torch.eye(3))
    torch.testing.assert_close(picture[:, 1].T, torch.tensor([[0, 0, 0], [0.2, 0.4, 0.8], [1, 1, 1]]))


@pytest.mark.parametrize(("color", "grey"), [(RED, 0.299), (GREEN, 0.587), (BLUE, 0.114), (102, 0.4)])
def test_grey_is_the_luma_of_rgb(color: int | tuple[int, int, int], grey: float, tmp_path: Path) -> None:
    paint(tmp_path / "a.png", color)
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
    with pytest.raises(ValueError, match=f"{path} is grey with more than 8 bits"):
        read_picture(path, channels)


STORED = np.arange(6, dtype=np.uint8).reshape(2, 3)


@pytest.mark.parametrize(
    ("orientation", "shown"),
    [
        (1, STORED),
        (2, STORED[:, ::-1]),
        (3, STORED[::-1, ::-1]),
        (4, STORED[::-1]),
        (5, STORED.T),
        (6, STORED[::-1].T),  # rotated clockwise
        (7, STORED[::-1, ::-1].T),
        (8, STORED[:, ::-1].T),  # rotated counterclockwise
    ],
)
def test_exif_orientation_is_applied(orientation: int, shown: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(STORED).save(tmp_path / "a.png", exif=exif)
    assert (read_picture(tmp_path / "a.png", 1)[0] * 255).round().int().tolist() == shown.tolist()


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

    monkeypatch.setattr(pictures, "decode_jpeg", decode)
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
    paint(tmp_path / "a.jpg", RED)
    assert jpeg.decode_jpeg((tmp_path / "a.jpg").read_bytes()) is None
    jpeg._has_values_of_pillow.cache_clear()
