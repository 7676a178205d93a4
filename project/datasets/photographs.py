"""Photographs, included in the package."""

from importlib.resources import as_file, files
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from project.datasets.base import Dataset, Picture, Transform
from project.registry import DATASET_REGISTRY

_PARTS = {"train": ("china.jpg", 0, 480), "val": ("china.jpg", 480, 640), "test": ("flower.jpg", 0, 640)}


@DATASET_REGISTRY.register()
class Photographs(Dataset):
    """Two photographs (see photographs/README.md): one for training and validation, the other for the test.

    A sample has `image` and `target`, both (3, H, W) in [0, 1]. They are equal before augmentation.

    Args:
        split: train (picture 1, left 427 x 480 pixels), val (picture 1, right 427 x 160), test (picture 2, 427 x 640).
        samples: number of samples, all of the same picture; random crops make them differ.
        augmentation: transforms by name, applied in this order.
    """

    def __init__(
        self,
        split: Literal["train", "val", "test"],
        samples: Annotated[int, Ge(1)] = 1,
        augmentation: dict[str, Transform] | None = None,
    ) -> None:
        super().__init__(augmentation)
        name, left, right = _PARTS[split]
        self.raw = {"image": Picture(channels=3)}
        with as_file(files(__package__) / "photographs" / name) as path:
            self.picture = torch.from_numpy(self.raw["image"].read(path))[..., left:right]
        self.samples = samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.__getitems__([range(self.samples)[index]]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        pictures = self.picture.expand(len(indices), -1, -1, -1)  # a view: only the crops are copied
        return self.augment({"image": pictures, "target": pictures})
