"""Mean squared error."""

from torch import Tensor

from project.metrics.components.sample_mean import SampleMean
from project.registry import METRIC_REGISTRY


@METRIC_REGISTRY.register()
class MSE(SampleMean):
    """The mean squared error; each sample counts alike, whatever its size."""

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """`(B,)`, from two tensors `(B, ...)` of one shape."""
        return (prediction.float() - target.float()).square().flatten(1).mean(1)
