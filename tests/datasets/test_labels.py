"""Tests of the labels of a dataset."""

from typing import Any

import pytest
import torch
from torch import Tensor

from project.datasets.arrays import Arrays
from project.datasets.components.labels import read_labels
from project.datasets.digits import Digits
from project.registry import ConfigError


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
