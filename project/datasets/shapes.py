"""Generated pictures of shapes."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from project.datasets.base import Dataset, Picture, Transform
from project.registry import DATASET_REGISTRY


@DATASET_REGISTRY.register()
class Shapes(Dataset):
    """Generated pictures of discs, squares and triangles in noise, for segmentation.

    A sample has `image` (3, size, size) in [0, 1] and `mask` (size, size) int64: 0 background, 1 disc, 2 square, 3
    triangle. Two bright shapes are in a dark picture; the second may hide a part of the first.

    Args:
        first: number of the first sample; a sample depends only on its number.
        samples: number of samples.
        size: height and width in pixels.
        augmentation: transforms by name, applied in this order.
    """

    classes = ("background", "disc", "square", "triangle")

    def __init__(
        self,
        first: Annotated[int, Ge(0)] = 0,
        samples: Annotated[int, Ge(1)] = 512,
        size: Annotated[int, Ge(16)] = 32,
        augmentation: dict[str, Transform] | None = None,
    ) -> None:
        super().__init__(augmentation)
        self.first, self.samples, self.size = first, samples, size
        self.raw = {"image": Picture(size=size)}
        self.rows, self.columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(self.first + range(self.samples)[index])
        image = 0.3 * torch.rand(3, 1, 1, generator=generator).repeat(1, self.size, self.size)
        mask = torch.zeros(self.size, self.size, dtype=torch.int64)
        for _ in range(2):
            shape = int(torch.randint(1, 4, (), generator=generator))
            radius, *center = (self.size * torch.rand(3, generator=generator)).tolist()
            covered = self._cover(shape, self.size / 8 + radius / 8, *center)
            mask[covered] = shape
            image[:, covered] = 0.5 + 0.5 * torch.rand(3, 1, generator=generator)
        image += 0.1 * torch.randn(image.shape, generator=generator)
        return self.augment({"image": image.clamp(0, 1), "mask": mask})

    def _cover(self, shape: int, radius: float, row: float, column: float) -> Tensor:
        """Return which pixels a shape covers, `(size, size)` bool."""
        down, right = self.rows - row, (self.columns - column).abs()
        if shape == 1:
            return down**2 + right**2 <= radius**2
        return (down.abs() <= radius) & (right <= (radius if shape == 2 else (down + radius) / 2))
