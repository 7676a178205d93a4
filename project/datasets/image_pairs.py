"""Pairs of pictures."""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from project.datasets.base import Dataset, Picture, Transform
from project.datasets.components.pairs import find_pairs
from project.datasets.components.picture_cache import Cache, Pictures
from project.deploy.inputs import Channels
from project.registry import DATASET_REGISTRY


@DATASET_REGISTRY.register()
class ImagePairs(Dataset):
    """Pairs of pictures from two directories, with the same name except for the suffix; read on access, or cached.

    A sample has `image` and `target`, both (channels, H, W) in [0, 1]. Both directories may be the same if transforms
    change only one of the two, as in denoising.

    Args:
        image: directory of the inputs, relative to `data_dir`.
        target: directory of the targets, relative to `data_dir`.
        channels: 1 for grey, 3 for RGB.
        augmentation: transforms by name, applied in this order.
        data_dir: directory that contains `image` and `target`, unless they are absolute.
        cache: keep decoded pictures: `ram`, or `disk`, in DATA_DIR/.cache; null reads a file whenever it is used.
        target_suffix: what the names of targets have after those of the inputs, such as _clean: a.png and a_clean.png.
    """

    example: ClassVar[dict[str, Any]] = dict.fromkeys(("image", "target"), str(Path(__file__).with_name("photographs")))

    def __init__(
        self,
        image: str,
        target: str,
        channels: Channels = 3,
        augmentation: dict[str, Transform] | None = None,
        data_dir: str = ".",
        cache: Cache | None = None,
        target_suffix: str = "",
    ) -> None:
        super().__init__(augmentation)
        picture = Picture(channels)
        self.raw = {"image": picture}
        cached = partial(Pictures, picture=picture, cache=cache, directory=Path(data_dir, ".cache"))
        pairs = find_pairs(Path(data_dir, image), Path(data_dir, target), target_suffix, "target_suffix")
        images, targets = map(list, zip(*pairs.values(), strict=True))
        self.names = list(pairs)
        self.images = cached(images)
        self.targets = self.images if images == targets else cached(targets)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.augment({"image": self.images[index], "target": self.targets[index]})

    def name(self, index: int) -> str:
        """Return the path of the pictures, relative to their directories, without the suffix."""
        return self.names[index]
