"""Components of runs that a replay observes: each could be changed by a careless look at it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from project.core.training.debugging import NonFiniteStop
from project.losses.base import Loss
from project.models.base import Model
from tests.components import Glyphs


@dataclass
class Scores:
    """Output of a part of a net, as a dataclass with a nested dict."""

    logits: Tensor
    more: dict[str, Any]


class Body(nn.Module):
    """Part of a net that returns a dataclass."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.layer = nn.BatchNorm1d(64), nn.Linear(64, 10)

    def forward(self, rows: Tensor) -> Scores:
        rows = self.norm(rows)
        return Scores(self.layer(rows), {"halves": (rows / 2, None)})


class Structured(Model):
    """Net with dropout and batch norm, whose parts return a dataclass, a dict and a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.body = nn.Dropout(0.25), Body()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        scores = self.body(self.drop(image.flatten(1)))
        return {"logits": scores.logits + scores.more["halves"][0].mean()}


class ClassWeighted(Loss):
    """Cross entropy that counts some classes more; it is no mean over the samples."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(logits, label, weight=torch.arange(1.0, 11.0))


class Drifting(Loss):
    """Loss that draws random numbers, changes its tensors in place, and grows with each call."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, logits: Tensor) -> Tensor:
        self.calls += 1
        noisy = F.dropout(logits.mul(1), 0.5)
        return noisy.pow_(2).mean() * (0.01 * self.calls)


class NamedGlyphs(Glyphs):
    """Glyphs that have names, of which one is NaN."""

    def name(self, index: int) -> str:
        """Return a name."""
        return f"glyph {index}"


class Broken(NamedGlyphs):
    """Glyphs of which the first in each hundred is NaN."""

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        batch = super().__getitems__(indices)
        batch["image"] = batch["image"].clone()
        batch["image"][[index % 100 == 0 for index in indices]] = torch.nan
        return batch


class OwnStop(NonFiniteStop):
    """NonFiniteStop of the user's own, which a replay does not leave out."""
