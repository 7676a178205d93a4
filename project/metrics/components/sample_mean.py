"""Metrics that average over samples."""

from abc import abstractmethod

import torch
from torch import Tensor
from torchmetrics import MeanMetric


class SampleMean(MeanMetric):
    """Base class of metrics that average the values of `per_sample` over all samples."""

    higher_is_better: bool | None = None  # type: ignore[assignment]  # MeanMetric has the type None

    def __init__(self) -> None:
        super().__init__(nan_strategy="disable")  # a check for NaN would wait for the GPU
        self.set_dtype(torch.float32)  # a sum of ones in bf16 stops at 256

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        """Add predictions and targets `(B, ...)`."""
        super().update(self.per_sample(prediction, target))

    @abstractmethod
    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the value of each sample, `(B,)`."""
