"""Predictions of classifiers."""

from torch import Tensor


def class_and_probability(logits: Tensor) -> dict[str, Tensor]:
    """Return the most likely class `label` (B,) and its `probability` (B,) in [0, 1], given logits `(B, classes)`."""
    probability, label = logits.softmax(1).max(1)
    return {"label": label, "probability": probability}
