import pickle
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from project.datasets.image_pairs import ImagePairs
from tests.datasets.painting import paint


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, name in enumerate(["a.png", "b.bmp", "deep/a.v2.png"]):
        paint(tmp_path / "x" / name, 51 * i)
    for i, name in enumerate(["a.tiff", "b.png", "deep/a.v2.bmp"]):
        paint(tmp_path / "y" / name, (255, 51 * i, 0), width=8)
    return tmp_path


def test_pairs_have_the_same_name_and_any_suffix(root: Path) -> None:
    dataset = ImagePairs("x", "y", data_dir=str(root))
    assert [dataset.name(i) for i in range(len(dataset))] == ["a", "b", "deep/a.v2"]
    for i in range(3):
        sample = dataset[i]
        assert sample.keys() == {"image", "target"}
        torch.testing.assert_close(sample["image"], torch.full((3, 3, 4), 0.2 * i))
        color = torch.tensor([1, 0.2 * i, 0]).view(3, 1, 1)
        torch.testing.assert_close(sample["target"], color.expand(3, 3, 8))


def test_one_channel_is_grey(root: Path) -> None:
    sample = ImagePairs("x", "y", 1, data_dir=str(root))[0]
    assert sample["image"].shape == (1, 3, 4)
    torch.testing.assert_close(sample["target"], torch.full((1, 3, 8), 0.299), atol=1 / 255, rtol=0)


def test_targets_may_have_a_suffix(root: Path) -> None:
    for file in [*(root / "y").rglob("*.*")]:
        file.rename(file.with_stem(f"{file.stem}_clean"))
    with pytest.raises(FileNotFoundError, match=r"'a', but .*\nIf its partner is 'a_clean', set target_suffix: _clean"):
        ImagePairs("x", "y", data_dir=str(root))
    dataset = ImagePairs("x", "y", data_dir=str(root), target_suffix="_clean")
    assert [dataset.name(index) for index in range(3)] == ["a", "b", "deep/a.v2"]
    torch.testing.assert_close(dataset[1]["target"][1], torch.full((3, 8), 0.2))


@pytest.mark.parametrize(("has", "lacks"), [("x", "y"), ("y", "x")])
def test_an_unpaired_picture_is_an_error(root: Path, has: str, lacks: str) -> None:
    paint(root / has / "c.png")
    message = f"{root / lacks} has no picture 'c', but {root / has} has one"
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        ImagePairs("x", "y", data_dir=str(root))


@pytest.mark.parametrize(("image", "target"), [("x", "nowhere"), ("nowhere", "x")])
def test_a_missing_directory_is_an_error(root: Path, image: str, target: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"{root / 'nowhere'} is not a directory"):
        ImagePairs(image, target, data_dir=str(root))


def test_image_and_target_may_be_the_same_directory(root: Path) -> None:
    def darken(sample: dict[str, Tensor]) -> dict[str, Tensor]:
        return sample | {"image": sample["image"] / 2}

    sample = ImagePairs(str(root / "x"), str(root / "x"), augmentation={"darken": darken})[2]  # type: ignore[dict-item]
    torch.testing.assert_close(sample["image"], torch.full((3, 3, 4), 0.2))
    torch.testing.assert_close(sample["target"], torch.full((3, 3, 4), 0.4))


def test_pickled_copy_has_the_same_samples(root: Path) -> None:
    dataset = ImagePairs("x", "y", data_dir=str(root))
    copy = pickle.loads(pickle.dumps(dataset))
    for i in range(3):
        assert all(torch.equal(copy[i][name], dataset[i][name]) for name in ("image", "target"))
        assert copy.name(i) == dataset.name(i)


def test_two_pictures_with_the_same_name_are_an_error(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/a.jpg", "out/a.png"):
        paint(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"in has two pictures 'a': a.jpg and a.png"):
        ImagePairs("in", "out", data_dir=str(tmp_path))
