"""Structural similarity as a loss, computed by the operation in ops/."""

from typing import Annotated

import torch
from annotated_types import Gt, Interval
from torch import Tensor

from ops import ssim
from project.losses.base import Loss
from project.registry import LOSS_REGISTRY


@LOSS_REGISTRY.register()
class SSIM(Loss):
    """One minus the structural similarity of pictures, in [0, 2]: 0 if they are equal.

    Args:
        data_range: difference between the largest and the smallest possible value.
        size: height and width of the window in pixels, odd and at most 33; pictures must not be smaller.
        sigma: standard deviation of the Gaussian window, in pixels.
    """

    def __init__(
        self,
        data_range: Annotated[float, Gt(0)] = 1.0,
        size: Annotated[int, Interval(ge=1, le=33)] = 11,
        sigma: Annotated[float, Gt(0)] = 1.5,
    ) -> None:
        super().__init__()
        self.data_range, self.size, self.sigma = data_range, size, sigma

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the batch, given pictures `(B, C, H, W)`."""
        return self.per_sample(prediction, target).mean()

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean over the windows of each sample, `(B,)`."""
        if prediction.dtype is not torch.float64:
            prediction = prediction.float()  # in half precision, 1 minus a value near 1 would round to 0
        return 1 - ssim(prediction, target, self.data_range, self.size, self.sigma).flatten(1).mean(1)
