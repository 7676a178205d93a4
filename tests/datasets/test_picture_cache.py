"""Cached pictures have the values of pictures that are read, also after a file has changed."""

import os
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from project.datasets.components import picture_cache
from project.datasets.components.picture_cache import Cache, Pictures
from project.datasets.image_folder import ImageFolder
from project.datasets.image_pairs import ImagePairs
from project.deploy.inputs import Channels, Picture
from project.deploy.picture_files import find_pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory of pictures of several sizes and modes; one is rotated by its EXIF orientation."""
    generator = np.random.default_rng(0)
    (tmp_path / "set").mkdir()
    for number, (name, shape) in enumerate({"a.jpg": (5, 7, 3), "b.png": (4, 4), "c.png": (9, 2, 4)}.items()):
        exif = Image.Exif()
        exif[0x0112] = 6 if number == 1 else 1
        Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / "set" / name, exif=exif)
    return tmp_path / "set"


def open_pictures(folder: Path, cache: Cache = "disk", channels: Channels = 3, size: int | None = None) -> Pictures:
    return Pictures(find_pictures(folder), Picture(channels, size), cache, folder.parent / ".cache")


def forbid_reading(*_: object) -> None:
    raise AssertionError("a file is read")


@pytest.mark.parametrize(("channels", "size"), [(3, None), (1, 3)])
@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_cached_pictures_are_those_that_are_read(
    cache: Cache, channels: Channels, size: int | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a copy, as spawned workers get it. Equal strides keep sums over a picture equal."""
    expected = [torch.from_numpy(Picture(channels, size).read(file)) for file in find_pictures(folder)]
    pictures = open_pictures(folder, cache, channels, size)
    monkeypatch.setattr(Picture, "read_pixels", forbid_reading)
    for each in (pictures, pickle.loads(pickle.dumps(pictures))):
        for index, picture in enumerate(expected):
            assert torch.equal(each[index], picture)
            assert each[index].stride() == picture.stride()
    pictures[0].zero_()
    assert torch.equal(pictures[0], expected[0])


def test_a_cache_on_disk_is_written_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = open_pictures(folder)
    monkeypatch.setattr(Picture, "read_pixels", forbid_reading)
    assert torch.equal(open_pictures(folder)[2], written[2])
    with pytest.raises(AssertionError, match="a file is read"):
        open_pictures(folder, channels=1)


def test_a_changed_picture_is_read_again_even_with_its_old_size_and_time(folder: Path) -> None:
    """A stale cache would train on other data than the files."""
    old, file = open_pictures(folder), folder / "b.png"
    status, content = file.stat(), file.read_bytes()
    other = np.full((4, 4), 7, np.uint8)
    Image.fromarray(other).save(file)
    file.write_bytes(file.read_bytes().ljust(len(content), b"\0")[: len(content)])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    new = open_pictures(folder)
    assert (new[1] * 255 == 7).all()
    assert not (old[1] * 255 == 7).all()
    assert list((folder.parent / ".cache").glob("*.bin")) == [new.path]  # the old file is of no use


def test_what_a_killed_process_left_is_replaced(folder: Path) -> None:
    """Else each process that is killed while it decodes would leave gigabytes."""
    pictures = open_pictures(folder)
    assert pictures.path is not None
    temporary = Path(f"{str(pictures.path).rpartition('-')[0]}.tmp")
    pictures.path.unlink()
    temporary.write_bytes(b"incomplete")
    assert torch.equal(open_pictures(folder)[2], pictures[2])
    assert not temporary.exists()


def test_a_damaged_cache_is_written_again(folder: Path) -> None:
    expected = open_pictures(folder)[1]
    (path,) = (folder.parent / ".cache").glob("*.bin")
    for content in (b"", path.read_bytes()[:-8]):
        path.write_bytes(content)
        assert torch.equal(open_pictures(folder)[1], expected)


@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_a_cache_that_does_not_fit_is_refused(cache: Cache, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is decoded: else the system would end the process, or the disk would be full."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    monkeypatch.setattr(picture_cache, "_available_memory", lambda: 100)
    monkeypatch.setattr(Picture, "read_pixels", forbid_reading)
    with pytest.raises(OSError, match=f"^cache: {cache} needs 0.2 kB for 3 pictures, but "):
        open_pictures(folder, cache)
    assert not list(folder.parent.rglob("*.bin"))


@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_a_damaged_picture_is_named(cache: Cache, folder: Path) -> None:
    file = folder / "a.jpg"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(OSError, match=f"^{file} cannot be read: "):
        open_pictures(folder, cache)
    assert not list(folder.parent.rglob("*.bin"))


@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_datasets_have_the_same_samples_with_a_cache(cache: Cache, folder: Path) -> None:
    for make in (lambda **given: ImageFolder("set", **given), lambda **given: ImagePairs("set", "set", **given)):
        plain, cached = (make(data_dir=str(folder.parent), cache=each) for each in (None, cache))
        for index in range(len(plain)):
            expected, sample = plain[index], cached[index]
            assert expected.keys() == sample.keys()
            assert all(torch.equal(sample[name], value) for name, value in expected.items())
