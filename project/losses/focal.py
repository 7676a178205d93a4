"""Focal loss."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional as F

from project.losses.base import Loss, check_soft_labels
from project.registry import LOSS_REGISTRY


@LOSS_REGISTRY.register()
class Focal(Loss):
    """Focal loss, in nats: cross entropy with less weight on well-classified samples (Lin et al., Focal Loss, 2017).

    Labels are classes `(B, ...)`, or probabilities `(B, classes, ...)` (soft labels) as Mixup and CutMix make them.

    Args:
        gamma: exponent of the weight (1 - p), >= 0; 0 is the cross entropy.
    """

    def __init__(self, gamma: Annotated[float, Ge(0)] = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean over the batch, given logits `(B, classes, ...)` and labels."""
        return self._each(logits, label).mean()

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean over each sample, `(B,)`."""
        return self._each(logits, label).flatten(1).mean(1)

    def _each(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of each label, `(B, 1, ...)`."""
        if label.is_floating_point():
            check_soft_labels(self, logits, label)
            return (label * self._weighted(-logits.log_softmax(1))).sum(1, keepdim=True)
        return self._weighted(F.cross_entropy(logits, label, reduction="none").unsqueeze(1))

    def _weighted(self, cross_entropy: Tensor) -> Tensor:
        missed = -torch.expm1(-cross_entropy)  # 1 - p of the true class
        # The gradient of a power below 1 is infinite at 0.
        return missed.clamp(min=torch.finfo(missed.dtype).eps) ** self.gamma * cross_entropy
