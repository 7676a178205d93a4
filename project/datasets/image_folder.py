"""Pictures in a folder."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from project.datasets.base import Dataset, Transform
from project.datasets.components.pictures import Channels, find_pictures, read_picture
from project.registry import DATASET_REGISTRY


@DATASET_REGISTRY.register()
class ImageFolder(Dataset):
    """The pictures in a folder, read when they are needed; each folder in it is a class.

    A sample is `image` (channels, H, W) in [0, 1] and `label`; only `image` if any picture lies in the folder itself.

    Args:
        path: the folder, in `data_dir` unless it is absolute.
        size: cut the middle square of each picture out and scale it to this height and width; as it is unless given.
        channels: 1 is grey, 3 red, green and blue.
        classes: the folders of the labels 0, 1, ...; all by name unless given, as where a set lacks some.
        augmentation: transforms by name, in order.
        data_dir: where the data lies.
    """

    example: ClassVar[dict[str, Any]] = {"path": str(Path(__file__).with_name("photographs"))}

    def __init__(
        self,
        path: str,
        size: int | None = None,
        channels: Channels = 3,
        classes: list[str] | None = None,
        augmentation: dict[str, Transform] | None = None,
        data_dir: str = ".",
    ) -> None:
        super().__init__(augmentation)
        self.folder, self.size, self.channels = Path(data_dir, path), size, channels
        self.files = find_pictures(self.folder)
        folders = [file.relative_to(self.folder).parts[0] for file in self.files]
        flat = any(file.parent == self.folder for file in self.files)
        present = sorted(path.name for path in self.folder.iterdir() if path.is_dir() and path.name[0] != ".")
        self.classes = classes or ([] if flat else present)
        if self.classes and (others := set(folders) - set(self.classes)):
            raise FileNotFoundError(f"{self.folder}: {min(others)} is none of the classes {', '.join(self.classes)}")
        self.labels = [self.classes.index(name) for name in folders] if self.classes else None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample = {"image": read_picture(self.files[index], self.channels, self.size)}
        if self.labels is not None:
            sample["label"] = torch.tensor(self.labels[index])
        return self.augment(sample)

    def name(self, index: int) -> str:
        """The file's path in the folder."""
        return self.files[index].relative_to(self.folder).as_posix()
