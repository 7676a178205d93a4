"""Binary cross entropy."""

from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor
from torch.nn import functional as F

from project.losses.base import Loss
from project.registry import LOSS_REGISTRY, ConfigError


@LOSS_REGISTRY.register()
class BCEWithLogits(Loss):
    """Binary cross entropy of independent classes, in nats: each label is 0 or 1, or a probability.

    Logits and labels have the same shape, `(B, classes, ...)`. A single class may be left out of the shapes of the
    labels: logits `(B, 1, ...)` and labels `(B, ...)`.

    Args:
        pos_weight: factor of the loss where the label is 1, one for each class or one for all.

    Example::

        model: {loss: {bce_with_logits: {pos_weight: [3.0], inputs: {label: mask}}}}
    """

    example: ClassVar[dict[str, Any]] = {"label": (torch.arange(40).view(4, 10) % 3 == 0).long()}
    pos_weight: Tensor | None

    def __init__(self, pos_weight: list[Annotated[float, Gt(0)]] | None = None) -> None:
        super().__init__()
        weights = None if pos_weight is None else torch.tensor(pos_weight)
        self.register_buffer("pos_weight", weights, persistent=False)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean over the batch."""
        return self._loss(logits, label, "mean")

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean over each sample, `(B,)`."""
        return self._loss(logits, label, "none").unsqueeze(1).flatten(1).mean(1)

    def _loss(self, logits: Tensor, label: Tensor, reduction: str) -> Tensor:
        if logits.ndim == label.ndim + 1 and logits.shape[1] == 1:
            label = label.unsqueeze(1)
        weights = self.pos_weight
        if weights is not None:
            classes = logits.shape[1] if logits.ndim > 1 else 1
            if len(weights) not in (1, classes):
                raise ConfigError(
                    f"BCEWithLogits: pos_weight has {len(weights)} values, but there are {classes} classes"
                )
            weights = weights.view(-1, *[1] * (logits.ndim - 2))
        return F.binary_cross_entropy_with_logits(
            logits, label.to(logits.dtype), pos_weight=weights, reduction=reduction
        )
