"""Files that `predict --files` finds, and messages where it finds none or the net takes something else."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from project.core.data.file_inputs import PictureFiles, file_dataset, find_files
from project.core.errors import ConfigError
from project.deploy.inputs import Input, InputError, Numbers, Picture

IMAGE: dict[str, Input] = {"image": Picture()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory of files with the names of pictures."""
    for name in (
        "a.jpg",
        "b.png",
        ".c.jpg",
        ".thumbs/a.jpg",
        "sub/d.jpg",
        "sub/deep/e.JPG",
        "sub/notes.txt",
        "odd[1].jpg",
    ):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("", ["a.jpg", "b.png", "odd[1].jpg", "sub/d.jpg", "sub/deep/e.JPG"]),
        ("a.jpg", ["a.jpg"]),
        ("odd[1].jpg", ["odd[1].jpg"]),
        ("sub/notes.txt", ["notes.txt"]),
        ("*.jpg", ["a.jpg", "odd[1].jpg"]),
        ("**/*.jpg", ["a.jpg", "odd[1].jpg", "sub/d.jpg"]),
        ("sub/*", ["d.jpg", "notes.txt"]),
        ("s*/[de]*", ["sub/d.jpg"]),
    ],
)
def test_files_are_found_with_names_relative_to_the_directory(path: str, names: list[str], folder: Path) -> None:
    """That of a pattern is the one before its first mark."""
    files, base = find_files(folder / path)
    assert [file.relative_to(base).as_posix() for file in files] == names


def test_relative_pattern_is_that_of_the_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert find_files(Path("*.png")) == ([Path("b.png")], Path())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("phots", "/phots does not exist; did you mean 'photos'?"),
        ("photos/*.gif", "no file matches "),
        ("photos/s*", "no file matches "),
        ("empty", "/empty contains no pictures"),
        ("x" * 300, "... cannot be read: File name too long"),
    ],
)
def test_message_where_there_are_no_files(path: str, message: str, folder: Path) -> None:
    (folder.parent / "empty").mkdir()
    with pytest.raises(ConfigError) as raised:
        find_files(folder.parent / path)
    assert str(raised.value).startswith("--files: ")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("inputs", "path", "message"),
    [
        (
            {"image": Picture(), "depth": Picture(1)},
            "a.jpg",
            "--files gives one picture or numbers, and the net takes image: a picture, depth: a picture: predict with "
            "a dataset, or use project.Predictor",
        ),
        (
            {"image": Picture(), "age": Numbers()},
            "a.jpg",
            "--files gives one picture or numbers, and the net takes image: a picture, age: a number float32: predict "
            "with a dataset, or use project.Predictor",
        ),
        ({"image": Picture()}, "x.csv", "--files: x.csv has numbers, and the net takes image: a picture"),
        (
            {"image": Numbers((3, None))},
            "a.jpg",
            "--files: the net takes image: numbers (3, any) float32: give a .csv or .npz file, or let a dataset "
            "read the files: --data.predict NAME\n"
            'If they are pictures, say so in the dataset: raw = {"NAME": Picture(channels=3)}',
        ),
    ],
    ids=["two pictures", "picture and number", "csv for a picture", "picture for numbers"],
)
def test_message_where_files_cannot_give_what_the_net_takes(
    inputs: dict[str, Input], path: str, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    Path("x.csv").touch()
    with pytest.raises(ConfigError) as raised:
        file_dataset(Path(path), inputs)
    assert str(raised.value) == message


def test_batches_have_only_pictures_that_can_be_read(folder: Path) -> None:
    """Also if there are none; the message about a file names it."""
    dataset = file_dataset(folder / "*.jpg", IMAGE)
    assert isinstance(dataset, PictureFiles)
    assert dataset.collate([dataset[0], dataset[1]]) == {}
    assert str(folder / "a.jpg") in str(dataset.find_error(0))
    (folder / "a.jpg").unlink()
    assert "No such file" in str(dataset.find_error(0))


def refuse_small(name: str, shape: tuple[int, ...]) -> None:
    """Raise InputError for an input whose last dimension is below 4."""
    if shape[-1] < 4:
        raise InputError(f"its width is {shape[-1]}")


def test_picture_of_a_size_that_the_net_does_not_take_is_left_out(tmp_path: Path) -> None:
    """The graph of an exported net would return something wrong."""
    for width in (3, 5):
        Image.new("RGB", (width, 4)).save(tmp_path / f"{width}.png")
    dataset = file_dataset(tmp_path, IMAGE, refuse_small)
    assert isinstance(dataset, PictureFiles)
    assert dataset.collate([dataset[0], dataset[1]])["image"].shape == (1, 3, 4, 5)
    assert [dataset.find_error(0), dataset.find_error(1)] == [f"{tmp_path / '3.png'}: its width is 3", None]


def test_numbers_of_a_shape_that_the_net_does_not_take_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", point=np.zeros((2, 3)))
    with pytest.raises(ConfigError, match=r"a.npz: point: its width is 3$"):
        file_dataset(tmp_path / "a.npz", {"point": Numbers((None,))}, refuse_small)
