"""Focal loss."""

import torch
from torch import Tensor
from torch.nn import functional as F

from project.losses.base import Loss
from project.registry import LOSS_REGISTRY


@LOSS_REGISTRY.register()
class Focal(Loss):
    """Cross entropy in which what is classified well counts less (Lin et al., Focal Loss, 2017), in nats.

    Args:
        gamma: how much less, at least 0; 0 is the cross entropy.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """The mean over the batch, from logits `(B, classes, ...)` and labels `(B, ...)`."""
        return self._each(logits, label).mean()

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        """`(B,)`, the mean over each sample."""
        return self._each(logits, label).flatten(1).mean(1)

    def _each(self, logits: Tensor, label: Tensor) -> Tensor:
        """`(B, 1, ...)`."""
        surprise = F.cross_entropy(logits, label, reduction="none").unsqueeze(1)
        missed = -torch.expm1(-surprise)  # 1 - p of the true class
        # At 0 a power below 1 has an infinite slope.
        return missed.clamp(min=torch.finfo(missed.dtype).eps) ** self.gamma * surprise
