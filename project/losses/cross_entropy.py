"""Cross entropy."""

from typing import Annotated

from annotated_types import Interval
from torch import Tensor
from torch.nn import functional as F

from project.losses.base import Loss
from project.registry import LOSS_REGISTRY


@LOSS_REGISTRY.register()
class CrossEntropy(Loss):
    """Cross entropy between class scores and labels, in nats.

    Args:
        label_smoothing: fraction of the target probability that is spread over all classes, in [0, 1).
    """

    def __init__(self, label_smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean over the batch, given logits `(B, classes, ...)` and labels `(B, ...)`."""
        return F.cross_entropy(logits, label, label_smoothing=self.label_smoothing)

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean over each sample, `(B,)`."""
        loss = F.cross_entropy(logits, label, label_smoothing=self.label_smoothing, reduction="none")
        return loss if loss.ndim == 1 else loss.flatten(1).mean(1)
