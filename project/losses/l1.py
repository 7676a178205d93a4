"""Mean absolute error."""

from torch import Tensor
from torch.nn import functional as F

from project.losses.base import Loss
from project.registry import LOSS_REGISTRY


@LOSS_REGISTRY.register()
class L1(Loss):
    """Mean absolute error."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the batch, given two tensors `(B, ...)` of the same shape."""
        return F.l1_loss(prediction, target)

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean over each sample, `(B,)`."""
        return F.l1_loss(prediction, target, reduction="none").unsqueeze(1).flatten(1).mean(1)
