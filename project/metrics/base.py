"""What a metric is."""

from abc import abstractmethod
from typing import Any

import torchmetrics


class Metric(torchmetrics.Metric):
    """A torchmetrics metric: `update`'s parameters name the tensors of batch and output that it gets.

    It may have `per_sample(...) -> (B,)`: its column in samples.csv. It may have `picture(value) -> (3, H, W)`, in
    [0, 1] or of integers up to 255: what it computed is then shown so, in TensorBoard and beside the results, and not
    as numbers.
    """

    @abstractmethod
    def update(self, *args: Any, **kwargs: Any) -> None:
        """Adds one batch."""

    @abstractmethod
    def compute(self) -> Any:
        """The value over all batches: a scalar, a vector, or a dict of scalars."""
