import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from project.core.errors import ConfigError
from project.datasets.image_folder import ImageFolder
from tests.datasets.painting import paint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, name in enumerate(["cat/a.png", "ant/b.png", "cat/deep/er.png", "bee/a.png"]):
        paint(tmp_path / "set" / name, 51 * i)
    return tmp_path / "set"


def test_labels_are_sorted_subdirectories(folder: Path) -> None:
    dataset = ImageFolder(str(folder))
    assert dataset.classes == ["ant", "bee", "cat"]
    assert [dataset.name(i) for i in range(len(dataset))] == ["ant/b.png", "bee/a.png", "cat/a.png", "cat/deep/er.png"]
    samples = [dataset[i] for i in range(len(dataset))]
    assert [int(sample["label"]) for sample in samples] == [0, 1, 2, 2]
    assert all((sample["label"].dtype, sample["label"].shape) == (torch.int64, ()) for sample in samples)
    for sample, grey in zip(samples, [0.2, 0.6, 0.0, 0.4], strict=True):
        torch.testing.assert_close(sample["image"], torch.full((3, 3, 4), grey))


def test_classes_set_the_labels(folder: Path) -> None:
    dataset = ImageFolder(str(folder), classes=["cat", "dog", "bee", "ant"])
    assert [int(dataset[i]["label"]) for i in range(4)] == [3, 2, 0, 0]


def test_empty_directory_is_a_class_and_warned_of(folder: Path, messages: list[str]) -> None:
    """It may come from a copy that lost its pictures; given `classes` are meant so."""
    (folder / "dog").mkdir()
    assert ImageFolder(str(folder)).classes == ["ant", "bee", "cat", "dog"]
    ImageFolder(str(folder), classes=["ant", "bee", "cat", "dog", "emu"])
    assert messages == [f"{folder}: no pictures in dog, which counts as a class all the same"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dog/a.png", "dog is not one of the classes bee, cat, ant"),
        ("a.png", "a.png is not one of the classes bee, cat, ant"),
    ],
)
def test_a_picture_outside_the_classes_is_an_error(folder: Path, name: str, message: str) -> None:
    paint(folder / name)
    with pytest.raises(FileNotFoundError, match=f"{folder}: {message}"):
        ImageFolder(str(folder), classes=["bee", "cat", "ant"])


@pytest.mark.parametrize("deep", [False, True])
def test_no_labels_if_a_picture_is_in_no_subdirectory(tmp_path: Path, deep: bool, messages: list[str]) -> None:
    paint(tmp_path / ("b/b.png" if deep else "b.png"), 255)
    paint(tmp_path / "a.png")
    dataset = ImageFolder(str(tmp_path))
    assert messages == [f"{tmp_path}: no classes, because a.png is in no subdirectory"] * deep
    assert (len(dataset), dataset.classes, dataset.name(1)) == (2, [], "b/b.png" if deep else "b.png")
    assert dataset[1].keys() == {"image"}
    assert (dataset[1]["image"] == 1).all()


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [({}, (3, 3, 4)), ({"channels": 1}, (1, 3, 4)), ({"size": 2}, (3, 2, 2)), ({"size": 5, "channels": 1}, (1, 5, 5))],
)
def test_channels_and_size(folder: Path, arguments: dict[str, Any], shape: tuple[int, ...]) -> None:
    image = ImageFolder(str(folder), **arguments)[1]["image"]
    torch.testing.assert_close(image, torch.full(shape, 0.6))


def test_path_is_relative_to_data_dir(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(ImageFolder("set", data_dir=str(folder.parent))) == 4
    assert len(ImageFolder(str(folder), data_dir="/nowhere")) == 4
    monkeypatch.chdir(folder.parent)
    assert len(ImageFolder("set")) == 4
    with pytest.raises(FileNotFoundError, match="data/set is not a directory"):
        ImageFolder("set", data_dir="data")


def test_augmentation_is_applied(folder: Path) -> None:
    def negative(sample: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"image": 1 - sample["image"], "label": sample["label"] + 10}

    sample = ImageFolder(str(folder), augmentation={"negative": negative})[0]  # type: ignore[dict-item]
    torch.testing.assert_close(sample["image"], torch.full((3, 3, 4), 0.8))
    assert sample["label"] == 10


def test_pickled_copy_has_the_same_samples(folder: Path) -> None:
    dataset = ImageFolder(str(folder), size=2)
    copy = pickle.loads(pickle.dumps(dataset))
    for i in range(4):
        assert torch.equal(copy[i]["image"], dataset[i]["image"])
        assert (copy[i]["label"], copy.name(i)) == (dataset[i]["label"], dataset.name(i))


def test_a_class_without_pictures_keeps_its_label(folder: Path) -> None:
    (folder / "aardvark").mkdir()
    (folder / ".hidden").mkdir()
    paint(folder / ".hidden/a.png")
    paint(folder / "cat/._a.png")
    dataset = ImageFolder(str(folder))
    assert dataset.classes == ["aardvark", "ant", "bee", "cat"]
    assert [int(dataset[i]["label"]) for i in range(len(dataset))] == [1, 2, 3, 3]


@pytest.mark.parametrize("parts", [["train"], ["Train", "dev"], ["test", "train", "val"]])
def test_directory_above_the_splits_is_refused(tmp_path: Path, parts: list[str]) -> None:
    """A net would learn whether a picture is of the training set."""
    for part in parts:
        for name in "rose", "tulip":
            paint(tmp_path / part / name / "a.png")
    (tmp_path / "empty").mkdir()
    first = next(part for part in parts if part.lower() == "train")
    with pytest.raises(ConfigError) as raised:
        ImageFolder(str(tmp_path))
    assert str(raised.value) == (
        f"{tmp_path}: the classes would be {', '.join(parts)}, which have subdirectories with pictures: rose, tulip\n"
        f"If those are the classes, use the directory {tmp_path / first}; if not, set classes: [{', '.join(parts)}]"
    )
    assert ImageFolder(str(tmp_path), classes=parts).classes == parts


def test_splits_with_one_subdirectory_each_are_warned_of(tmp_path: Path, messages: list[str]) -> None:
    """Pictures to predict may lie so, and need no classes."""
    for part in "Training", "test":
        paint(tmp_path / part / "images/a.png")
    assert ImageFolder(str(tmp_path)).classes == ["Training", "test"]
    assert messages == [
        f"{tmp_path}: the classes are Training, test, with subdirectories with pictures: images; if those are the "
        f"classes, use the directory {tmp_path}/Training"
    ]


def test_one_class_with_subdirectories_is_warned_of(tmp_path: Path, messages: list[str]) -> None:
    """Its subdirectories may be the classes; several classes with subdirectories are nothing unusual."""
    for number in range(7):
        paint(tmp_path / f"flowers/{number}/a.png")
    assert ImageFolder(str(tmp_path)).classes == ["flowers"]
    assert messages == [
        f"{tmp_path}: flowers is the only class, and has subdirectories with pictures: 0, 1, 2, 3, 4, ...; if those "
        f"are the classes, use the directory {tmp_path}/flowers"
    ]
    paint(tmp_path / "trees/0/a.png")
    assert ImageFolder(str(tmp_path)).classes == ["flowers", "trees"]
    assert len(messages) == 1
