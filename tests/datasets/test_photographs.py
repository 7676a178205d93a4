import pickle
from importlib.resources import files
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from project.datasets.photographs import Photographs

FOLDER = files("project.datasets") / "photographs"


def decoded(name: str) -> Tensor:
    with (FOLDER / name).open("rb") as file:
        return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255


def test_train_and_val_are_the_two_sides_of_one_photograph() -> None:
    train, val = Photographs("train")[0]["image"], Photographs("val")[0]["image"]
    assert (train.shape, val.shape) == ((3, 427, 480), (3, 427, 160))
    assert torch.equal(torch.cat([train, val], dim=2), decoded("china.jpg"))  # no overlap, nothing missing


def test_test_split_is_the_other_photograph() -> None:
    test = Photographs("test")[0]["image"]
    assert test.shape == (3, 427, 640)
    assert torch.equal(test, decoded("flower.jpg"))
    assert not torch.equal(test, decoded("china.jpg"))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_image_and_target_are_equal_and_samples_repeat(split: Literal["train", "val", "test"]) -> None:
    dataset = Photographs(split, samples=5)
    assert (len(dataset), len(Photographs(split))) == (5, 1)
    sample, batch = dataset[4], dataset.__getitems__([0, 4, 4])
    assert sample.keys() == batch.keys() == {"image", "target"}
    for name in ("image", "target"):
        assert torch.equal(batch[name], torch.stack([sample[name]] * 3))
        assert torch.equal(sample[name], dataset.picture)
        assert sample[name].dtype == torch.float32
        assert (sample[name].min().item(), sample[name].max().item()) == (0, 1)
    copy = pickle.loads(pickle.dumps(dataset))
    assert len(copy) == 5
    assert torch.equal(copy[0]["image"], sample["image"])


def test_augmentation_may_change_only_the_image() -> None:
    def darken(sample: dict[str, Tensor]) -> dict[str, Tensor]:
        return sample | {"image": sample["image"] / 2}

    sample = Photographs("val", augmentation={"darken": darken})[0]  # type: ignore[dict-item]
    assert torch.equal(sample["image"] * 2, sample["target"])
    assert torch.equal(sample["target"], Photographs("val")[0]["target"])


def test_readme_names_the_photographers_and_licence() -> None:
    readme = (FOLDER / "README.md").read_text()
    names = {file.name for file in FOLDER.iterdir()}
    assert names == {"README.md", "china.jpg", "flower.jpg"}
    assert all(word in readme for word in [*names - {"README.md"}, "danielbuechele", "vultilion", "CC BY 2.0"])


def test_iteration_ends() -> None:
    assert len(list(Photographs("val", samples=3))) == 3  # type: ignore[call-overload]
