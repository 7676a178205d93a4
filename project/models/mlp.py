"""Multilayer perceptron."""

from torch import Tensor, nn

from project.models.base import Model
from project.models.components.classify import class_and_probability
from project.registry import MODEL_REGISTRY


@MODEL_REGISTRY.register()
class MLP(Model):
    """A multilayer perceptron over flattened pictures.

    Args:
        in_features: the picture's C * H * W.
        num_classes: number of classes.
        hidden: width of the hidden layers.
        depth: number of hidden layers.
        dropout: share of hidden units dropped in training, in [0, 1).
    """

    def __init__(
        self, in_features: int, num_classes: int, hidden: int = 128, depth: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for i in range(depth):
            layers += [nn.Linear(hidden if i else in_features, hidden), nn.ReLU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(hidden if depth else in_features, num_classes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """`image` (B, C, H, W) to `logits` (B, num_classes)."""
        return {"logits": self.head(self.body(image))}

    def predict(self, logits: Tensor) -> dict[str, Tensor]:
        """The class `label` (B,) and its `probability` (B,)."""
        return class_and_probability(logits)
