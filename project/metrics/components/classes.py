"""Classes and labels of metrics of classification."""

from torch import Tensor
from torchmetrics import Metric

from project.registry import ConfigError


def check_classes(metric: Metric, num_classes: int | None, logits: Tensor) -> None:
    """Raise ConfigError if the scores `(B, classes)` are not of `num_classes` classes."""
    if logits.shape[1] != num_classes:
        raise ConfigError(
            f"{type(metric).__name__}: num_classes is {num_classes}, but there are scores of {logits.shape[1]} classes"
        )


def to_classes(label: Tensor) -> Tensor:
    """Return the most probable class of soft labels `(B, classes)`, as Mixup makes them; other labels as they are."""
    return label.argmax(1) if label.is_floating_point() else label
