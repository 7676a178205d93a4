"""Pictures in a directory."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from loguru import logger
from torch import Tensor

from project.datasets.base import Dataset, Picture, Transform
from project.datasets.components.labels import check_distinct
from project.datasets.components.picture_cache import Cache, Pictures
from project.deploy.inputs import Channels
from project.deploy.picture_files import find_pictures
from project.registry import DATASET_REGISTRY, ConfigError, join_names

_TRAINING = {"train", "training"}
_SPLITS = {*_TRAINING, "val", "valid", "validation", "dev", "test", "testing", "eval"}
_MAX_SHOWN = 5  # names in a message


@DATASET_REGISTRY.register()
class ImageFolder(Dataset):
    """Pictures in a directory, whose subdirectories are the classes; read on access, or cached.

    A sample has `image` (channels, H, W) in [0, 1] and `label`; if a picture is in the directory itself, only `image`.

    Args:
        path: the directory, relative to `data_dir`.
        size: height and width to which the central square of each picture is scaled; null keeps pictures as they are.
        channels: 1 for grey, 3 for RGB.
        classes: subdirectories with the labels 0, 1, ...; null means all, sorted. Needed if a set lacks classes.
        augmentation: transforms by name, applied in this order.
        data_dir: directory that contains `path`, unless `path` is absolute.
        cache: keep decoded pictures: `ram`, or `disk`, in DATA_DIR/.cache; null reads a file whenever it is used.
    """

    example: ClassVar[dict[str, Any]] = {"path": str(Path(__file__).with_name("photographs"))}

    def __init__(
        self,
        path: str,
        size: Annotated[int, Ge(1)] | None = None,
        channels: Channels = 3,
        classes: list[str] | None = None,
        augmentation: dict[str, Transform] | None = None,
        data_dir: str = ".",
        cache: Cache | None = None,
    ) -> None:
        super().__init__(augmentation)
        check_distinct(classes or (), "ImageFolder.classes")
        self.folder = Path(data_dir, path)
        self.files = find_pictures(self.folder)
        folders = [file.relative_to(self.folder).parts[0] for file in self.files]
        flat = any(file.parent == self.folder for file in self.files)
        present = sorted(path.name for path in self.folder.iterdir() if path.is_dir() and path.name[0] != ".")
        self.classes = classes or ([] if flat else present)
        if self.classes and (others := set(folders) - set(self.classes)):
            raise FileNotFoundError(f"{self.folder}: {min(others)} is not one of the classes {', '.join(self.classes)}")
        if flat and not classes and present:
            stray = next(file for file in self.files if file.parent == self.folder)
            logger.info(f"{self.folder}: no classes, because {stray.name} is in no subdirectory")
        if not classes and (empty := [name for name in self.classes if name not in folders]):
            logger.warning(f"{self.folder}: no pictures in {join_names(empty)}, which counts as a class all the same")
        if self.classes and not classes:
            _check_level(self.folder, self.files)
        self.labels = [self.classes.index(name) for name in folders] if self.classes else None
        picture = Picture(channels, size)
        self.raw = {"image": picture}
        self.pictures = Pictures(self.files, picture, cache, Path(data_dir, ".cache"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample = {"image": self.pictures[index]}
        if self.labels is not None:
            sample["label"] = torch.tensor(self.labels[index])
        return self.augment(sample)

    def name(self, index: int) -> str:
        """Return the path of the file, relative to the directory."""
        return self.files[index].relative_to(self.folder).as_posix()


def _check_level(folder: Path, files: list[Path]) -> None:
    """Refuse or warn of a directory that seems to be one level above the classes.

    Raises:
        ConfigError: the classes would be train, val, ..., which have subdirectories with pictures, such as classes.
    """
    paths = [file.relative_to(folder).parts for file in files]
    if any(len(parts) < 3 for parts in paths):
        return
    found = sorted({parts[0] for parts in paths})
    first = next((name for name in found if name.lower() in _TRAINING), found[0])
    inner = sorted({parts[1] for parts in paths if parts[0] == first})
    listed = join_names([*inner[:_MAX_SHOWN], *["..."] * (len(inner) > _MAX_SHOWN)])
    are_splits = _SPLITS.issuperset(name.lower() for name in found)
    if are_splits and len(inner) > 1:
        raise ConfigError(
            f"{folder}: the classes would be {join_names(found)}, which have subdirectories with pictures: {listed}\n"
            f"If those are the classes, use the directory {folder / first}; if not, set classes: [{', '.join(found)}]"
        )
    if are_splits or len(found) == 1:
        known = (
            f"{first} is the only class, and has" if len(found) == 1 else f"the classes are {join_names(found)}, with"
        )
        logger.warning(
            f"{folder}: {known} subdirectories with pictures: {listed}; if those are the classes, use the directory "
            f"{folder / first}"
        )
