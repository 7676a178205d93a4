"""Dice loss."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from project.losses.base import Loss, check_soft_labels
from project.registry import LOSS_REGISTRY, ConfigError


@LOSS_REGISTRY.register()
class Dice(Loss):
    """One minus the soft Dice coefficient, in [0, 1], mean over the classes (Milletari et al., V-Net, 2016).

    The coefficient of a class is `2 sum(p g) / (sum(p^2) + sum(g^2))` over the pixels of a sample, with the predicted
    probability p and the label g. One class has a probability by the sigmoid, several by the softmax.

    Args:
        smooth: added to numerator and denominator; a class that is neither predicted nor present costs nothing.
        ignore_index: class of the pixels that do not count; null counts all.

    Example::

        model: {loss: {dice: {inputs: {label: mask}}, cross_entropy: {inputs: {label: mask}}}}
    """

    def __init__(self, smooth: Annotated[float, Ge(0)] = 1.0, ignore_index: int | None = None) -> None:
        super().__init__()
        self.smooth, self.ignore_index = smooth, ignore_index

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean over the batch.

        Args:
            logits: class scores `(B, classes, ...)`.
            label: classes `(B, ...)`, or probabilities `(B, classes, ...)`.
        """
        return self.per_sample(logits, label).mean()

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean over the classes of each sample, `(B,)`."""
        scores = logits if logits.dtype is torch.float64 else logits.float()  # sums over many pixels
        p = scores.sigmoid() if scores.shape[1] == 1 else scores.softmax(1)
        if label.ndim < p.ndim:
            label = label.unsqueeze(1)
        ignored = label == self.ignore_index if self.ignore_index is not None else None
        if ignored is not None:
            label = label.masked_fill(ignored, 0)
        has_probabilities = label.shape == p.shape
        if has_probabilities and p.shape[1] > 1 and not label.is_floating_point():
            raise ConfigError(
                f"Dice: logits and labels have the same shape {tuple(p.shape)}, but labels that are classes lack the "
                "dimension of the classes\nLet the net return scores (B, classes, ...); of one class, (B, 1, ...)"
            )
        if label.is_floating_point() and label.shape[1] not in (1, p.shape[1]):
            check_soft_labels(self, logits, label)  # read as classes, all probabilities would be class 0
        if has_probabilities and p.shape[1] > 1 and ignored is not None:
            raise ConfigError("Dice: ignore_index has no effect on labels that are probabilities; remove it")
        g = label.to(p.dtype) if has_probabilities else torch.zeros_like(p).scatter_(1, label.long(), 1)
        if ignored is not None:
            p, g = p.masked_fill(ignored, 0), g.masked_fill(ignored, 0)
        p, g = p.unsqueeze(2).flatten(2), g.unsqueeze(2).flatten(2)
        common, total = (p * g).sum(2), p.square().sum(2) + g.square().sum(2)
        return (1 - (2 * common + self.smooth) / (total + self.smooth)).mean(1)
