"""Base class of losses."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Loss(nn.Module, ABC):
    """Base class of losses.

    The parameters of `forward` name tensors of the batch or of the model's output. An optional method `per_sample` with
    such parameters returns one value per sample, `(B,)`: the column of the loss in samples.csv. An optional method
    `fit_to(dataset)` computes buffers from the samples of the training set before the first step (docs/fitting.md).

    Example::

        @LOSS_REGISTRY.register()
        class Entropy(Loss):
            def forward(self, logits: Tensor) -> Tensor:
                return self.per_sample(logits).mean()

            def per_sample(self, logits: Tensor) -> Tensor:
                return -(logits.softmax(1) * logits.log_softmax(1)).sum(1)
    """

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Tensor | dict[str, Tensor]:
        """Return a scalar, the mean over the batch, or a dict of scalars, which are summed."""


def check_soft_labels(loss: Loss, logits: Tensor, label: Tensor) -> None:
    """Raise ConfigError if labels are not probabilities of the classes that the logits `(B, classes, ...)` have."""
    if label.shape != logits.shape:
        from project.registry import ConfigError  # the registry imports this module

        raise ConfigError(
            f"{type(loss).__name__}: labels of floats are probabilities of classes, of the shape {tuple(logits.shape)} "
            f"of the logits, not {tuple(label.shape)}"
        )
