"""Tiny components of the runs that are compared, of which a test changes something at a step."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from project.datasets.base import Dataset
from project.losses.base import Loss
from project.models.base import Model


class Points(Dataset):
    """Sixteen random points per class, with noise that is drawn when a sample is loaded.

    Tests set `changed`, numbers that are added to samples by index, as if a file had been edited, and `swapped`, an
    epoch in which the first and the last sample change places.
    """

    changed: ClassVar[dict[int, float]] = {}
    swapped: ClassVar[int | None] = None

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.label = torch.arange(16 * classes) % classes
        self.image = torch.randn(len(self.label), 4, generator=generator) + self.label[:, None]

    def __len__(self) -> int:
        return len(self.label)

    def order(self, seed: int, epoch: int) -> list[int]:
        """Return the order of an epoch."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed + epoch)).tolist()
        if epoch == self.swapped:
            order[0], order[-1] = order[-1], order[0]
        return order

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image = self.image[index] + 0.01 * torch.randn(4) + self.changed.get(index, 0.0)
        return {"image": image, "label": self.label[index]}


class Net(Model):
    """Net with batch norm and dropout."""

    def __init__(self, width: int = 6, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(width, classes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.body(image))}


class Still(Points):
    """Points without noise."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": self.image[index], "label": self.label[index]}


class Plain(Model):
    """Net whose outputs do not depend on the other samples of the batch, and on no random numbers."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, classes))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.body(image)}


class Branching(Loss):
    """Cross entropy; below `edited_below`, which a test sets as if it edited the code, it is 1.2e-7 larger."""

    edited_below: ClassVar[float] = 0.0

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        loss = F.cross_entropy(logits, label)
        return loss * (1 + 1.2e-7) if float(loss) < self.edited_below else loss
