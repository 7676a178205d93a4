import hashlib
from importlib.resources import files
from typing import Literal

import pytest
import torch

from project.core.data.loading import BatchDataset
from project.datasets.digits import Digits

SPLITS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")


def keys(digits: Digits) -> list[str]:
    return [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in digits.image]


def test_splits_are_fixed_and_stratified() -> None:
    parts = [Digits(split) for split in SPLITS]
    assert [len(part) for part in parts] == [1269, 267, 261]
    for part in parts:
        shares = part.labels.bincount(minlength=10) / len(part)
        assert shares.min() > 0.085
        assert shares.max() < 0.115
    digest = hashlib.sha256("".join(key for part in parts for key in keys(part)).encode()).hexdigest()
    assert digest == "d49926b89d9b0941bbc0c7b1337fb9cd487cc48f4932a58d6e180b239055a229"


def test_splits_do_not_overlap() -> None:
    parts = [set(keys(Digits(split))) for split in SPLITS]
    assert sum(map(len, parts)) == 1797  # no scan occurs twice, in one split or in two
    assert len(set.union(*parts)) == 1797


def test_shapes_dtypes_and_ranges() -> None:
    digits = Digits("val")
    sample = digits[3]
    assert (sample["image"].shape, sample["image"].dtype) == ((1, 8, 8), torch.float32)
    assert (sample["label"].shape, sample["label"].dtype) == ((), torch.int64)
    assert digits.num_classes == 10
    batch = digits.__getitems__([0, 3])
    assert batch["image"].shape == (2, 1, 8, 8)
    assert torch.equal(batch["image"][1], sample["image"])
    assert batch["label"][1] == sample["label"]
    assert (int(digits.image.min()), int(digits.image.max())) == (0, 16)
    assert batch["image"].max() <= 1


def test_augmentation_is_applied_in_order() -> None:
    def double(sample: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return sample | {"image": sample["image"] * 2}

    def add(sample: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return sample | {"image": sample["image"] + 1}

    plain = Digits("val")[0]["image"]
    assert torch.equal(Digits("val", {"a": double, "b": add})[0]["image"], plain * 2 + 1)  # type: ignore[dict-item]
    assert torch.equal(Digits("val", {"b": add, "a": double})[0]["image"], (plain + 1) * 2)  # type: ignore[dict-item]


def test_batches_are_fetched_in_one_call() -> None:
    assert BatchDataset(Digits("val"), "data.val", 0, False).has_getitems


@pytest.mark.parametrize("name", ["digits.npz", "digits.md"])
def test_files_are_in_the_package(name: str) -> None:
    assert 0 < len(files("project.datasets").joinpath(name).read_bytes()) < 100_000
