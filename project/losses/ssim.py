"""Structural similarity as a loss, on the operation in ops/."""

import torch
from torch import Tensor

from ops import ssim
from project.losses.base import Loss
from project.registry import LOSS_REGISTRY


@LOSS_REGISTRY.register()
class SSIM(Loss):
    """1 less the structural similarity of pictures: 0 where they are equal, at most 2.

    Args:
        data_range: the largest possible value less the smallest.
        size: of the window, odd; no picture may be smaller.
        sigma: standard deviation of the window's weights, in pixels.
    """

    def __init__(self, data_range: float = 1.0, size: int = 11, sigma: float = 1.5) -> None:
        super().__init__()
        self.data_range, self.size, self.sigma = data_range, size, sigma

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The mean over the batch, from pictures `(B, C, H, W)`."""
        return self.per_sample(prediction, target).mean()

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """`(B,)`, the mean over each sample's windows."""
        if prediction.dtype is not torch.float64:
            prediction = prediction.float()  # in half precision, 1 less nearly 1 would be 0
        return 1 - ssim(prediction, target, self.data_range, self.size, self.sigma).flatten(1).mean(1)
