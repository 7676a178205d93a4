"""Tests of the labels of a dataset."""

from typing import Any

import pytest
import torch
from torch import Tensor

from project.datasets.arrays import Arrays
from project.datasets.components.labels import read_labels
from project.datasets.digits import Digits
from project.registry import ConfigError
from tests.datasets.test_epochs import Method


class Read:
    """Dataset whose labels are only in its samples."""

    def __init__(self, *labels: Any) -> None:
        self.given = labels

    def __len__(self) -> int:
        return len(self.given)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"label": self.given[index]}


def test_labels_are_those_of_the_samples() -> None:
    """With an attribute `labels`, and without one."""
    digits = Digits("val")
    assert read_labels(digits).tolist() == [int(digits[index]["label"]) for index in range(len(digits))]
    arrays = Arrays(**Arrays.example)
    assert read_labels(arrays).tolist()[:99] == [int(arrays[index]["label"]) for index in range(99)]
    assert read_labels(Read(2, torch.tensor(0), 1)).tolist() == [2, 0, 1]


@pytest.mark.parametrize("label", [torch.tensor([0, 1]), torch.tensor(0.5)], ids=["several", "float"])
def test_label_that_is_no_class_is_refused(label: Tensor) -> None:
    with pytest.raises(ConfigError, match="one integer"):
        read_labels(Read(label))


class Labelled(Method):
    """The same with a class, which the dataset knows only after it was told the epoch."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        return super().__getitem__(index) | {"label": torch.tensor(self.epoch + index)}


def test_labels_that_depend_on_the_epoch_are_those_of_epoch_0() -> None:
    assert read_labels(Labelled()).tolist() == [0, 1, 2, 3]
