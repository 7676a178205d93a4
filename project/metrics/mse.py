"""Mean squared error."""

from torch import Tensor
from torch.nn import functional as F

from project.metrics.components.sample_mean import SampleMean
from project.registry import METRIC_REGISTRY


@METRIC_REGISTRY.register()
class MSE(SampleMean):
    """Mean squared error of each sample, averaged over samples."""

    higher_is_better = False

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the error of each sample `(B,)`, given two tensors `(B, ...)` of the same shape."""
        squares = F.mse_loss(prediction.float(), target.float(), reduction="none")
        return squares.unsqueeze(1).flatten(1).mean(1)
