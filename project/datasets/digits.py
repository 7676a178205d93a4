"""Handwritten digits, included in the package."""

from importlib.resources import files
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from project.datasets.base import Dataset, Picture, Transform
from project.registry import DATASET_REGISTRY

# Of every 20 scans of a digit, in file order, 14 are for training, 3 for validation and 3 for the test.
_PARTS = {"train": range(14), "val": range(14, 17), "test": range(17, 20)}


@DATASET_REGISTRY.register()
class Digits(Dataset):
    """The 1,797 scans of UCI's Optical Recognition of Handwritten Digits (see digits.md).

    A sample has `image` (1, 8, 8) in [0, 1] and `label`, 0 to 9. The splits are fixed and stratified by digit.

    Args:
        split: train (1,269 scans), val (267) or test (261).
        augmentation: transforms by name, applied in this order.
    """

    classes = tuple("0123456789")

    def __init__(
        self, split: Literal["train", "val", "test"], augmentation: dict[str, Transform] | None = None
    ) -> None:
        super().__init__(augmentation)
        with files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
            image, label = arrays["image"], arrays["label"]
        rank = np.empty(len(label), dtype=np.int64)
        for digit in range(10):
            rank[label == digit] = np.arange((label == digit).sum())
        chosen = np.isin(rank % 20, _PARTS[split])
        self.image = torch.from_numpy(image[chosen]).unsqueeze(1)
        self.labels = torch.from_numpy(label[chosen]).long()
        self.raw = {"image": Picture(channels=1, size=8)}

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        rows = torch.tensor(indices)
        return self.augment({"image": self.image[rows].float() / 16, "label": self.labels[rows]})
