"""Huber loss."""

from typing import Annotated

from annotated_types import Gt
from torch import Tensor
from torch.nn import functional as F

from project.losses.base import Loss
from project.registry import LOSS_REGISTRY


@LOSS_REGISTRY.register()
class Huber(Loss):
    """Huber loss: half the squared error for errors up to `delta`, linear beyond (Huber, Robust Estimation, 1964).

    Args:
        delta: error from which the loss is linear, > 0.

    Example::

        model: {loss: {huber: {delta: 0.5}}}
    """

    def __init__(self, delta: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the batch, given two tensors `(B, ...)` of the same shape."""
        return F.huber_loss(prediction, target, delta=self.delta)

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean over each sample, `(B,)`."""
        loss = F.huber_loss(prediction, target, reduction="none", delta=self.delta)
        return loss.unsqueeze(1).flatten(1).mean(1)
