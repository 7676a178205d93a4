"""Means over samples."""

from abc import abstractmethod

import torch
from torch import Tensor
from torchmetrics import MeanMetric


class SampleMean(MeanMetric):
    """The mean over all samples of what `per_sample` makes of a prediction and its target."""

    def __init__(self) -> None:
        super().__init__(nan_strategy="disable")  # looking for NaN would wait for the device
        self.set_dtype(torch.float32)  # a sum in bf16 stands still after some hundred samples

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        """Adds predictions and targets `(B, ...)`."""
        super().update(self.per_sample(prediction, target))

    @abstractmethod
    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """`(B,)`."""
