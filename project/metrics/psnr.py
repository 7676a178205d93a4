"""Peak signal-to-noise ratio."""

from typing import Annotated

from annotated_types import Gt
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from project.metrics.components.sample_mean import SampleMean
from project.registry import METRIC_REGISTRY


@METRIC_REGISTRY.register()
class PSNR(SampleMean):
    """Peak signal-to-noise ratio of each picture in decibels, averaged; infinite if a picture equals its target.

    Args:
        data_range: difference between the largest and the smallest possible value.
    """

    higher_is_better = True

    def __init__(self, data_range: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__()
        self.data_range = data_range

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the ratio of each picture `(B,)`, given pictures `(B, C, H, W)`."""
        return peak_signal_noise_ratio(
            prediction.float(), target.float(), self.data_range, reduction="none", dim=(1, 2, 3)
        )
