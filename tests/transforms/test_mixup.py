"""Mixup computes weighted means of pairs, with the weight in the labels."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from project.core.errors import ConfigError
from project.transforms.base import BatchTransform
from project.transforms.cutmix import CutMix
from project.transforms.mixup import Mixup


def batch(size: int = 6, classes: int = 6) -> dict[str, Tensor]:
    """Return samples whose pictures are one-hot vectors of their labels."""
    label = torch.arange(size) % classes
    return {"image": F.one_hot(label, classes).float().view(size, classes, 1, 1), "label": label}


def test_pictures_and_labels_have_the_same_weights_and_all_pairs_occur() -> None:
    torch.manual_seed(0)
    weights, pairs = [], set()
    for _ in range(300):
        mixed = Mixup(6)(batch())
        assert torch.equal(mixed["image"].flatten(1), mixed["label"])
        torch.testing.assert_close(mixed["label"].sum(1), torch.ones(6))
        own = mixed["label"].diagonal()
        weights += own[own < 1].unique().tolist()
        pairs |= {tuple(row) for row in (mixed["label"] > 0).nonzero().tolist()}
    assert len(pairs) == 36
    # Beta(0.2, 0.2) has mean 1/2, and a variance of 1 / (4 * 1.4).
    assert torch.tensor(weights).mean() == pytest.approx(0.5, abs=0.08)
    assert torch.tensor(weights).var() == pytest.approx(1 / 5.6, abs=0.03)
    assert len(weights) <= 300  # one weight per batch


@pytest.mark.parametrize("cls", [Mixup, CutMix])
def test_labels_are_soft_also_in_batches_that_are_not_mixed(cls: type[BatchTransform]) -> None:
    kept = cls(6, p=0.0)(batch())
    assert torch.equal(kept["label"], F.one_hot(torch.arange(6)).float())
    assert torch.equal(kept["image"], batch()["image"])
    torch.manual_seed(0)
    large = batch() | {"image": batch()["image"].expand(6, 6, 32, 32)}
    mixed = sum(bool((cls(6, p=0.3)(large)["label"].diagonal() < 1).any()) for _ in range(300))
    assert 60 < mixed < 120


def test_soft_labels_are_mixed_again() -> None:
    torch.manual_seed(0)
    twice = Mixup(6, alpha=1.0)(Mixup(6, alpha=1.0)(batch()))
    assert torch.equal(twice["image"].flatten(1), twice["label"])
    assert (twice["label"] > 0).sum(1).max() > 2


def test_other_entries_are_kept() -> None:
    sample: Any = batch() | {"index": [3, 4], "text": torch.zeros(2)}
    mixed = Mixup(6)(sample)
    assert mixed["index"] is sample["index"]
    assert mixed["text"] is sample["text"]


@pytest.mark.parametrize("cls", [Mixup, CutMix])
@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"label": torch.tensor([0, 5, 6, 0, 0, 0])}, "num_classes is 6, but a batch has the label 6"),
        ({"label": torch.tensor([0, -1, 6, 0, 0, 0])}, "num_classes is 6, but a batch has the label -1"),
        (
            {"label": torch.tensor(3)},
            "label () int64 is no batch of classes (B,); set this transform in data.batch_augmentation, which gets "
            "whole training batches",
        ),
        (
            {"label": torch.zeros(6)},
            "label (6,) float32 is no batch of classes (B,); set this transform in data.batch_augmentation, which gets "
            "whole training batches",
        ),
        (
            {"image": torch.zeros(5, 1, 2, 2)},
            "the tensors of a batch must have the same number of samples: image (5, 1, 2, 2) float32, label (6, 6) "
            "float32",
        ),
    ],
)
def test_batches_that_cannot_be_mixed(cls: type[BatchTransform], over: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cls(6)(batch() | over)
    assert str(caught.value) == f"{cls.__name__}: {message}"


@pytest.mark.parametrize("missing", ["image", "label"])
def test_missing_tensors_are_named(missing: str) -> None:
    sample = batch()
    del sample[missing]
    with pytest.raises(ConfigError, match=f"^Mixup: a batch has no {missing}; known: [a-z]+$"):
        Mixup(6)(sample)


def test_integers_have_no_means() -> None:
    with pytest.raises(ConfigError, match=r"^Mixup: image is of torch.uint8; it needs floats, of which it computes"):
        Mixup(6)(batch() | {"image": torch.zeros(6, 1, 2, 2, dtype=torch.uint8)})
