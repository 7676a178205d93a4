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
from project.deploy.inputs import Channels, describe_errors, turn_upright
from project.deploy.picture_files import read_size
from project.registry import DATASET_REGISTRY, ConfigError

_IGNORED = -100  # the class that cross entropy in torch leaves out
_MODES = ("1", "L", "P", "I", "I;16")  # Pillow's modes with one integer in a pixel
_COLOR_MODES = ("LA", "RGB", "RGBA")


@DATASET_REGISTRY.register()
class Masks(Dataset):
    """Pictures and masks from two directories, with the same name except for the suffix; read on access.

    A sample has `image` (channels, H, W) in [0, 1] and `mask` (H, W) int64, the class of each pixel. The file of a mask
    has the class, or one of `values`, as its grey value or as the index in its palette. Transforms with
    `keys: [image, mask]` change both alike.

    Args:
        images: directory of the pictures, relative to `data_dir`.
        masks: directory of the masks, relative to `data_dir`; PNG or another format without loss.
        num_classes: number of classes; those in the masks are 0 to `num_classes` - 1, unless `values` is set, whose
            number null takes.
        size: height and width to which the central square of both is scaled; null keeps them as they are.
        channels: 1 for grey pictures, 3 for RGB.
        ignore: value of pixels without a class, often 255; they become -100, which CrossEntropy leaves out. null: none.
        augmentation: transforms by name, applied in this order.
        data_dir: directory that contains `images` and `masks`, unless they are absolute.
        values: values of the classes 0, 1, ... in the files of the masks, such as [0, 255]; null: 0, 1, ...
        mask_suffix: what the names of masks have after those of the pictures, such as _mask: a.jpg and a_mask.png.

    Example::

        data:
          train: {type: Masks, images: photographs, masks: masks, values: [0, 255]}
    """

    example: ClassVar[dict[str, Any]] = {
        **{name: str(Path(__file__).with_name("shapes") / name) for name in ("images", "masks")},
        "num_classes": 4,
    }

    def __init__(
        self,
        images: str,
        masks: str,
        num_classes: Annotated[int, Ge(1)] | None = None,
        size: Annotated[int, Ge(1)] | None = None,
        channels: Channels = 3,
        ignore: Annotated[int, Ge(0)] | None = None,
        augmentation: dict[str, Transform] | None = None,
        data_dir: str = ".",
        values: list[Annotated[int, Ge(0)]] | None = None,
        mask_suffix: str = "",
    ) -> None:
        super().__init__(augmentation)
        pairs = find_pairs(Path(data_dir, images), Path(data_dir, masks), mask_suffix, "mask_suffix")
        self.names, self.pairs = list(pairs), list(pairs.values())
        self.num_classes, self.values = _count_classes(num_classes, values), values
        self.size, self.ignore = size, ignore
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
        mask = self._number(mask, file)
        return self.augment({"image": image, "mask": mask})

    def name(self, index: int) -> str:
        """Return the path of the picture, relative to its directory, without the suffix."""
        return self.names[index]

    def _number(self, mask: Tensor, file: Path) -> Tensor:
        """Return the class of each pixel, -100 where `ignore` is; raise ConfigError if a pixel has none."""
        if self.values is None:
            classes, is_known = mask.clone(), mask < self.num_classes
        else:
            classes = torch.full_like(mask, -1)
            for number, value in enumerate(self.values):
                classes[mask == value] = number
            is_known = classes >= 0
        if self.ignore is not None:
            ignored = mask == self.ignore
            classes[ignored], is_known = _IGNORED, is_known | ignored
        if not is_known.all():
            wrong, found = int(mask[~is_known].max()), mask.unique().tolist()
            if self.values is not None:
                problem, listed = f"of {wrong}, which is not one of values {self.values}", [*self.values, wrong]
            else:
                problem = f"of class {wrong}, but num_classes is {self.num_classes}"
                listed = found if len(found) == self.num_classes else [0, wrong]
            raise ConfigError(
                f"{file} has a pixel {problem}\nIf such pixels have no class, set ignore: {wrong}; if the files have "
                f"other values than 0, 1, ..., list those of all classes, such as values: {listed}"
            )
        return classes


def _count_classes(num_classes: int | None, values: list[int] | None) -> int:
    if values is None:
        if num_classes is None:
            raise ConfigError("Masks needs num_classes, or values")
        return num_classes
    if not values or len(set(values)) < len(values) or num_classes not in (None, len(values)):
        count = "" if num_classes is None else f"{num_classes} "
        raise ConfigError(f"Masks: values are {values}; it needs {count}different ones, one per class")
    return len(values)


def read_mask(path: Path, size: int | None = None) -> Tensor:
    """Read a mask `(H, W)` int64, the class of each pixel.

    Args:
        path: the picture file, grey (also if saved as RGB) or with a palette.
        size: height and width to which the central square is scaled, to the nearest pixel; None keeps it as it is.

    Raises:
        InputError: the file cannot be read.
        ConfigError: it has no class numbers.
    """
    with describe_errors(str(path)), Image.open(path) as file:
        kind, image = file.format, turn_upright(file)
        image.load()
    if kind == "JPEG":
        raise ConfigError(f"{path} is a JPEG, which does not keep the classes of a mask; save masks as PNG")
    if image.mode in _COLOR_MODES:  # many programs save grey pictures so
        red, green, blue = image.convert("RGB").split()
        image = red if red.tobytes() == green.tobytes() == blue.tobytes() else image
    if image.mode not in _MODES:
        raise ConfigError(
            f"{path} has colours (Pillow mode {image.mode}); a mask needs the class of a pixel as its grey value "
            "or index in the palette"
        )
    if size is not None:
        image = ImageOps.fit(image, (size, size), Image.Resampling.NEAREST)
    return torch.from_numpy(np.array(image).astype(np.int64))
