"""Peak signal-to-noise ratio."""

from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from project.metrics.components.sample_mean import SampleMean
from project.registry import METRIC_REGISTRY


@METRIC_REGISTRY.register()
class PSNR(SampleMean):
    """The peak signal-to-noise ratio in decibels: each picture's, averaged; infinite where one equals its target.

    Args:
        data_range: from black to white.
    """

    def __init__(self, data_range: float = 1.0) -> None:
        super().__init__()
        self.data_range = data_range

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """`(B,)`, from pictures `(B, C, H, W)`."""
        return peak_signal_noise_ratio(
            prediction.float(), target.float(), self.data_range, reduction="none", dim=(1, 2, 3)
        )
