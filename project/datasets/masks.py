"""Pictures and masks for segmentation."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge
from PIL import Image, ImageOps
from torch import Tensor

from project.datasets.base import Dataset, Picture, Transform
from project.datasets.components.pairs import find_pairs
from project.deploy.inputs import Channels, turn_upright
from project.deploy.picture_files import read_size
from project.registry import DATASET_REGISTRY, ConfigError

_IGNORED = -100  # the class that cross entropy in torch leaves out
_MODES = ("1", "L", "P", "I", "I;16")  # Pillow's modes with one integer in a pixel


@DATASET_REGISTRY.register()
class Masks(Dataset):
    """Pictures and masks from two directories, with the same name except for the suffix; read on access.

    A sample has `image` (channels, H, W) in [0, 1] and `mask` (H, W) int64, the class of each pixel. The file of a mask
    has the class as its grey value or as the index in its palette. Transforms with `keys: [image, mask]` change both
    alike.

    Args:
        images: directory of the pictures, relative to `data_dir`.
        masks: directory of the masks, relative to `data_dir`; PNG or another format without loss.
        num_classes: number of classes; those in the masks are 0 to `num_classes` - 1.
        size: height and width to which the central square of both is scaled; null keeps them as they are.
        channels: 1 for grey pictures, 3 for RGB.
        ignore: value of pixels without a class, often 255; they become -100, which CrossEntropy leaves out. null: none.
        augmentation: transforms by name, applied in this order.
        data_dir: directory that contains `images` and `masks`, unless they are absolute.
    """

    example: ClassVar[dict[str, Any]] = {
        name: str(Path(__file__).with_name("shapes") / name) for name in ("images", "masks")
    }

    def __init__(
        self,
        images: str,
        masks: str,
        num_classes: Annotated[int, Ge(1)],
        size: Annotated[int, Ge(1)] | None = None,
        channels: Channels = 3,
        ignore: Annotated[int, Ge(0)] | None = None,
        augmentation: dict[str, Transform] | None = None,
        data_dir: str = ".",
    ) -> None:
        super().__init__(augmentation)
        pairs = find_pairs(Path(data_dir, images), Path(data_dir, masks))
        self.names, self.pairs = list(pairs), list(pairs.values())
        self.num_classes, self.size, self.ignore = num_classes, size, ignore
        self.picture = Picture(channels, size)
        self.raw = {"image": self.picture}

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        picture, file = self.pairs[index]
        image, mask = torch.from_numpy(self.picture.read(picture)), read_mask(file, self.size)
        sizes = [tuple(image.shape[1:]), tuple(mask.shape)]
        if self.size is not None:  # if the files differ in size, both are scaled to this one, but show other squares
            sizes = [read_size(each) for each in (picture, file)]
        if sizes[0] != sizes[1]:
            shown = [" x ".join(map(str, size)) for size in sizes]
            raise ConfigError(f"{picture} has {shown[0]} pixels, but its mask {file} has {shown[1]}")
        if self.ignore is not None:
            mask[mask == self.ignore] = _IGNORED
        if (largest := int(mask.max())) >= self.num_classes:
            raise ConfigError(
                f"{file} has a pixel of class {largest}, but num_classes is {self.num_classes}\n"
                f"If such pixels have no class, set ignore: {largest}"
            )
        return self.augment({"image": image, "mask": mask})

    def name(self, index: int) -> str:
        """Return the path of the picture, relative to its directory, without the suffix."""
        return self.names[index]


def read_mask(path: Path, size: int | None = None) -> Tensor:
    """Read a mask `(H, W)` int64, the class of each pixel.

    Args:
        path: the picture file, grey or with a palette.
        size: height and width to which the central square is scaled, to the nearest pixel; None keeps it as it is.

    Raises:
        ConfigError: the file has no class numbers.
    """
    with Image.open(path) as file:
        if file.format == "JPEG":
            raise ConfigError(f"{path} is a JPEG, which does not keep the classes of a mask; save masks as PNG")
        if file.mode not in _MODES:
            raise ConfigError(
                f"{path} has colours (Pillow mode {file.mode}); a mask needs the class of a pixel as its grey value or "
                "index in the palette"
            )
        image = turn_upright(file)
        if size is not None:
            image = ImageOps.fit(image, (size, size), Image.Resampling.NEAREST)
        return torch.from_numpy(np.array(image).astype(np.int64))
