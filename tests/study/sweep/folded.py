"""A dataset of the tests that divides another one into folds."""

from typing import Literal

import numpy as np
from torch import Tensor

from project.datasets.base import Dataset
from tests.components import Glyphs


class Fold(Dataset):
    """Part of the 267 glyphs of the split `val`: every k-th is in the part `val` of a fold.

    Args:
        k: number of folds.
        fold: the fold.
        part: val or train.
    """

    def __init__(self, k: int, fold: int, part: Literal["train", "val"]) -> None:
        super().__init__()
        self.dataset = Glyphs("val")
        is_val = np.arange(len(self.dataset))[::-1] % k == fold
        self.indices = np.flatnonzero(is_val == (part == "val"))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.dataset[int(self.indices[index])]
