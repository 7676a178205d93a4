"""F1 score."""

from typing import Annotated, Literal

from annotated_types import Ge
from torch import Tensor
from torchmetrics.classification import MulticlassF1Score

from project.metrics.components.classes import check_classes, to_classes
from project.registry import METRIC_REGISTRY


@METRIC_REGISTRY.register()
class F1(MulticlassF1Score):
    """F1 score: harmonic mean of precision and recall, in [0, 1].

    Args:
        num_classes: number of classes.
        average: macro averages over classes, weighted does so by class frequency, micro counts all samples together,
            none returns one value per class.
    """

    def __init__(
        self, num_classes: Annotated[int, Ge(1)], average: Literal["macro", "weighted", "micro", "none"] = "macro"
    ) -> None:
        super().__init__(num_classes, average=average, validate_args=False)

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Add scores `(B, classes)` and labels `(B,)`, or probabilities `(B, classes)` of which the largest counts."""
        check_classes(self, self.num_classes, logits)
        super().update(logits, to_classes(label))
