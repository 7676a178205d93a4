"""One small, fast class for each kind of component, used by the runs of the tests; yaml names them by dotted path."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from project.datasets.base import Dataset
from project.losses.base import Loss
from project.models.base import Classifier
from project.transforms.base import PictureTransform, Transform
from project.visuals.base import Visual


class MLP(Classifier):
    """Multilayer perceptron that classifies flattened pictures.

    Args:
        in_features: C * H * W of the pictures.
        num_classes: number of classes.
        hidden: number of units of each of the two hidden layers.
        dropout: fraction of hidden units that are zeroed in training, in [0, 1).
    """

    def __init__(self, in_features: int, num_classes: int, hidden: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        first = [nn.Linear(in_features, hidden), nn.ReLU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(nn.Flatten(), *first, nn.Linear(hidden, hidden), nn.ReLU())
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map `image` (B, C, H, W) to `logits` (B, num_classes)."""
        return {"logits": self.head(self.body(image))}


class Glyphs(Dataset):
    """Ten random pictures minus noise: `image` (1, 8, 8) in [0, 1], and `label`, 0 to 9.

    Args:
        split: train (1,269 samples), val (267) or test (261).
        augmentation: transforms by name, applied in this order.
    """

    def __init__(
        self, split: Literal["train", "val", "test"], augmentation: dict[str, Transform] | None = None
    ) -> None:
        super().__init__(augmentation)
        glyphs = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        seed, count = {"train": (1, 1269), "val": (2, 267), "test": (3, 261)}[split]
        generator = torch.Generator().manual_seed(seed)
        self.label = torch.randint(10, (count,), generator=generator)
        self.image = (glyphs[self.label] - torch.rand(count, 1, 8, 8, generator=generator)).clamp(min=0)

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        return self.augment({"image": self.image[indices], "label": self.label[indices]})


class CrossEntropy(Loss):
    """Cross entropy between class scores and labels, in nats.

    Args:
        label_smoothing: fraction of the target probability that is spread over all classes, in [0, 1).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean over the batch, given logits `(B, classes)` and labels `(B,)`."""
        return F.cross_entropy(logits, label, label_smoothing=self.label_smoothing)

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of each sample, `(B,)`."""
        return F.cross_entropy(logits, label, label_smoothing=self.label_smoothing, reduction="none")


class Accuracy(MulticlassAccuracy):
    """Fraction of samples whose label has the highest score, in [0, 1].

    Args:
        num_classes: number of classes.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, average="micro", validate_args=False)

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Add scores `(B, classes)` and labels `(B,)`."""
        super().update(logits, label)

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return 1 for each sample whose label has the highest score, else 0, `(B,)`."""
        return (logits.argmax(1) == label).float()


class RandomShift(PictureTransform):
    """Random cyclic shift of each picture.

    Args:
        pixels: largest shift in each direction, >= 0.
        keys: names of the pictures `(..., C, H, W)`.
    """

    def __init__(self, pixels: int = 1, keys: Sequence[str] = ("image",)) -> None:
        super().__init__(keys)
        self.pixels = pixels

    def draw(self, count: int, height: int, width: int) -> Tensor:
        return torch.randint(-self.pixels, self.pixels + 1, (count, 2))

    def change(self, pictures: Tensor, drawn: Tensor) -> Tensor:
        moved = [picture.roll(shift, (1, 2)) for picture, shift in zip(pictures, drawn.tolist(), strict=True)]
        return torch.stack(moved)


class Row(Visual):
    """Pictures in a row: green if the predicted class is correct, red if it is wrong."""

    def __call__(self, image: Tensor, label: Tensor, logits: Tensor) -> Tensor:
        """Draw `image` (B, 1, H, W) in [0, 1] with `label` (B,) and `logits` (B, classes)."""
        right = (logits.argmax(1) == label).float()
        colors = torch.stack([1 - right, right, torch.zeros_like(right)], dim=1)
        return torch.cat(list(image.float().clamp(0, 1) * colors[:, :, None, None]), dim=2)
