"""Mean absolute error."""

from torch import Tensor
from torch.nn import functional as F

from project.losses.base import Loss
from project.registry import LOSS_REGISTRY


@LOSS_REGISTRY.register()
class L1(Loss):
    """The mean absolute error."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The mean over the batch, from two tensors `(B, ...)` of one shape."""
        return F.l1_loss(prediction, target)

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """`(B,)`, the mean over each sample."""
        return F.l1_loss(prediction, target, reduction="none").unsqueeze(1).flatten(1).mean(1)
