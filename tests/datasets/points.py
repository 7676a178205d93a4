"""Dataset with samples of different lengths (point sets), and a model for them."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from project.datasets.base import Dataset
from project.models.base import Model
from tests.components import Glyphs


class GlyphPoints(Dataset):
    """Non-black pixels of Glyphs: `points` (N, 3), row, column and brightness in [0, 1], and `label`; N differs."""

    def __init__(self, split: Literal["train", "val", "test"]) -> None:
        super().__init__()
        self.glyphs = Glyphs(split)

    def __len__(self) -> int:
        return len(self.glyphs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample = self.glyphs[index]
        image = sample["image"][0]
        pixels = image.nonzero()
        points = torch.cat([pixels / 7, image[pixels[:, 0], pixels[:, 1], None]], dim=1)
        return {"points": points, "label": sample["label"]}

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Pad `points` to those of the longest sample, (B, N, 3); `mask` (B, N) is False on padding."""
        points = [sample["points"] for sample in samples]
        lengths = torch.tensor([len(sample) for sample in points])
        padded = pad_sequence(points, batch_first=True)
        mask = torch.arange(padded.shape[1]) < lengths[:, None]
        return {"points": padded, "mask": mask, "label": torch.stack([sample["label"] for sample in samples])}


class PointNet(Model):
    """Classifier of point sets that takes the maximum over points (Qi et al., PointNet, 2017)."""

    def __init__(self, num_classes: int = 10, width: int = 64) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = nn.Linear(width, num_classes)

    def forward(self, points: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Map `points` (B, N, 3) and `mask` (B, N) to `logits` (B, num_classes)."""
        features = self.each(points).masked_fill(~mask[..., None], 0)
        return {"logits": self.head(features.amax(1))}
