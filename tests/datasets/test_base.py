"""The base class of datasets."""

import pytest
import torch
from torch import Tensor

from project.datasets.base import Dataset


class Bare(Dataset):
    """Dataset without classes."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.zeros(1)}


class Named(Bare):
    """Dataset whose class names the classes."""

    classes = ("cat", "dog")


class Given(Bare):
    """Dataset that sets the number of classes itself."""

    def __init__(self) -> None:
        super().__init__()
        self.num_classes = 7


def test_num_classes_counts_the_classes_unless_the_dataset_sets_it() -> None:
    assert (Named().num_classes, Given().num_classes) == (2, 7)
    with pytest.raises(AttributeError, match=r"^Bare has neither `classes` nor `num_classes`$"):
        Bare().num_classes  # noqa: B018
