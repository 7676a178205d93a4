"""Mean squared error."""

from torch import Tensor
from torch.nn import functional as F

from project.metrics.components.sample_mean import SampleMean
from project.registry import METRIC_REGISTRY


@METRIC_REGISTRY.register()
class MSE(SampleMean):
    """The mean squared error; each sample counts alike, whatever its size."""

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """`(B,)`, from two tensors `(B, ...)` of one shape."""
        squares = F.mse_loss(prediction.float(), target.float(), reduction="none")
        return squares.unsqueeze(1).flatten(1).mean(1)
