"""Pairs of pictures."""

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from project.datasets.base import Dataset, Transform
from project.datasets.components.pictures import Channels, find_pictures, read_picture
from project.registry import DATASET_REGISTRY


@DATASET_REGISTRY.register()
class ImagePairs(Dataset):
    """Pictures of two folders that have the same name but for the suffix, read when they are needed.

    A sample is `image` and `target`, (channels, H, W) in [0, 1]. One folder may be both, where transforms of the one
    make the task.

    Args:
        image: the folder of what the net gets, in `data_dir` unless it is absolute.
        target: the folder of what it is to make of it.
        channels: 1 is grey, 3 red, green and blue.
        augmentation: transforms by name, in order.
        data_dir: where the data lies.
    """

    example: ClassVar[dict[str, Any]] = dict.fromkeys(("image", "target"), str(Path(__file__).with_name("photographs")))

    def __init__(
        self,
        image: str,
        target: str,
        channels: Channels = 3,
        augmentation: dict[str, Transform] | None = None,
        data_dir: str = ".",
    ) -> None:
        super().__init__(augmentation)
        folders = [Path(data_dir, folder) for folder in (image, target)]
        images, targets = (_by_name(folder) for folder in folders)
        if alone := images.keys() ^ targets.keys():
            without = folders[min(alone) in images]
            raise FileNotFoundError(f"{without}: no picture is called {min(alone)}, as one in the other folder is")
        self.channels = channels
        self.names = list(images)
        self.pairs = [(images[name], targets[name]) for name in images]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image, target = (read_picture(file, self.channels) for file in self.pairs[index])
        return self.augment({"image": image, "target": target})

    def name(self, index: int) -> str:
        """The picture's path in its folder, without the suffix."""
        return self.names[index]


def _by_name(folder: Path) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for file in find_pictures(folder):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in named:
            raise FileNotFoundError(f"{folder}: which one is {name}, {named[name].name} or {file.name}?")
        named[name] = file
    return named
