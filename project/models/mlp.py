"""Multilayer perceptron."""

import itertools
from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Interval
from torch import Tensor, nn

from project.models.base import Classifier
from project.registry import MODEL_REGISTRY


@MODEL_REGISTRY.register()
class MLP(Classifier):
    """Multilayer perceptron that classifies flattened pictures.

    Args:
        in_features: C * H * W of the pictures.
        num_classes: number of classes.
        hidden: number of units of all hidden layers, or a list with that of each layer.
        depth: number of hidden layers, unless `hidden` is a list.
        dropout: fraction of hidden units that are zeroed in training, in [0, 1).
        batch_norm: whether batch normalization follows each hidden layer.
    """

    def __init__(
        self,
        in_features: Annotated[int, Ge(1)],
        num_classes: Annotated[int, Ge(1)],
        hidden: Annotated[int, Ge(1)] | Sequence[Annotated[int, Ge(1)]] = 128,
        depth: Annotated[int, Ge(0)] = 2,
        dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        widths = [in_features, *([hidden] * depth if isinstance(hidden, int) else hidden)]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, width in itertools.pairwise(widths):
            norm = [nn.BatchNorm1d(width)] if batch_norm else []
            layers += [nn.Linear(before, width), *norm, nn.ReLU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map `image` (B, C, H, W) to `logits` (B, num_classes)."""
        return {"logits": self.head(self.body(image))}
