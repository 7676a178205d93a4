"""F1 score."""

from typing import Literal

from torch import Tensor
from torchmetrics.classification import MulticlassF1Score

from project.registry import METRIC_REGISTRY


@METRIC_REGISTRY.register()
class F1(MulticlassF1Score):
    """The harmonic mean of precision and recall, in [0, 1].

    Args:
        num_classes: number of classes.
        average: macro is the mean over classes, weighted likewise by their frequency, micro counts all samples alike,
            none gives a value for each class.
    """

    def __init__(self, num_classes: int, average: Literal["macro", "weighted", "micro", "none"] = "macro") -> None:
        super().__init__(num_classes, average=average, validate_args=False)

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Adds scores `(B, classes)` and labels `(B,)`."""
        super().update(logits, label)
