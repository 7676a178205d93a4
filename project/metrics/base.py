"""Base class of metrics."""

from abc import abstractmethod
from typing import Any

import torchmetrics


class Metric(torchmetrics.Metric):
    """Base class of metrics, a torchmetrics metric.

    The parameters of `update` name tensors of the batch or of the model's output. Optional methods:

    - `per_sample`, with such parameters, returns one value per sample, `(B,)`: the column of the metric in samples.csv.
    - `picture(value)` converts the result of `compute` to a picture `(3, H, W)` of floats in [0, 1] or integers in
      [0, 255], or to a Figure of matplotlib; it is shown in TensorBoard and saved with the results instead of numbers.
    - `data(value, classes)`, of a metric with a `picture`, converts the same result to what json can contain, saved as
      NAME.json beside the picture; `classes` has the names of the classes 0, 1, ..., and is empty without names.
    - `fit_to(dataset)` computes buffers from the samples of the training set before the first step (docs/fitting.md).

    The attribute `higher_is_better`, if it is True or False, lets the engine refuse a `checkpoint.mode` that would keep
    the worst checkpoint.

    Example::

        @METRIC_REGISTRY.register()
        class Confidence(Metric):
            def __init__(self) -> None:
                super().__init__()
                self.add_state("total", torch.zeros(()), "sum")
                self.add_state("count", torch.zeros(()), "sum")

            def update(self, logits: Tensor) -> None:
                self.total += logits.softmax(1).amax(1).sum()
                self.count += len(logits)

            def compute(self) -> Tensor:
                return self.total / self.count
    """

    @abstractmethod
    def update(self, *args: Any, **kwargs: Any) -> None:
        """Add one batch to the state."""

    @abstractmethod
    def compute(self) -> Any:
        """Return the value over all batches: a scalar, a vector or a dict of scalars."""
