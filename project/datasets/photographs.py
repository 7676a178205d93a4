"""Photographs that ship with the package."""

from importlib.resources import as_file, files
from typing import Literal

from torch import Tensor

from project.datasets.base import Dataset, Transform
from project.datasets.components.pictures import read_picture
from project.registry import DATASET_REGISTRY

_PARTS = {"train": ("china.jpg", 0, 480), "val": ("china.jpg", 480, 640), "test": ("flower.jpg", 0, 640)}


@DATASET_REGISTRY.register()
class Photographs(Dataset):
    """Two photographs (see photographs/README.md): one to train and validate on, the other to test.

    A sample is `image` and `target` (3, H, W) in [0, 1], the same picture until a transform tells them apart.

    Args:
        split: train (427 x 480 pixels on the left), val (427 x 160 on the right) or test (the other, 427 x 640).
        samples: how many times the picture is yielded: it takes many random crops to make an epoch.
        augmentation: transforms by name, in order.
    """

    def __init__(
        self,
        split: Literal["train", "val", "test"],
        samples: int = 1,
        augmentation: dict[str, Transform] | None = None,
    ) -> None:
        super().__init__(augmentation)
        name, left, right = _PARTS[split]
        with as_file(files(__package__) / "photographs" / name) as path:
            self.picture = read_picture(path)[..., left:right]
        self.samples = samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.__getitems__([range(self.samples)[index]]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        pictures = self.picture.expand(len(indices), -1, -1, -1)  # a view: only crops are copied
        return self.augment({"image": pictures, "target": pictures})
