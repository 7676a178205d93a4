"""Accuracy."""

from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from project.metrics.components.classes import to_classes
from project.registry import METRIC_REGISTRY


@METRIC_REGISTRY.register()
class Accuracy(MulticlassAccuracy):
    """Fraction of samples whose label is among the `top_k` highest scores, in [0, 1].

    Args:
        num_classes: number of classes.
        top_k: number of highest scores that count as correct.
    """

    def __init__(self, num_classes: Annotated[int, Ge(1)], top_k: Annotated[int, Ge(1)] = 1) -> None:
        super().__init__(num_classes, top_k=top_k, average="micro", validate_args=False)

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Add scores `(B, classes)` and labels `(B,)`, or probabilities `(B, classes)` of which the largest counts."""
        super().update(logits, to_classes(label))

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return 1 for each sample whose label is among the highest scores, else 0, `(B,)`."""
        if self.top_k == 1:
            return (logits.argmax(1) == label).float()
        best = logits.topk(self.top_k, dim=1).indices
        return (best == label[:, None]).any(1).float()
