"""Multilayer perceptron for tables."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor, nn

from project.models.base import Model, class_and_probability
from project.registry import MODEL_REGISTRY, ConfigError


@MODEL_REGISTRY.register()
class TabularMLP(Model):
    """Multilayer perceptron for rows of a table (the dataset Table), with one or several heads.

    Its input are the numbers, a flag for each missing one, and an embedding of each category.

    Args:
        heads: size of each output by its name, such as {logits: 3, prediction: 1}; an output of size 1 is (B,).
        num_numeric: number of numeric columns.
        cardinalities: number of values of each categorical column, including 0 for missing ones.
        hidden: number of units of each hidden layer.
        depth: number of hidden layers.
        embedding: number of channels of a category.
        dropout: fraction of hidden units that are zeroed in training, in [0, 1).
        scales: mean and standard deviation of the numbers that a head predicts, by the name of the head, such as
            {prediction: [4200, 800]}; without them, large numbers take long to learn.
    """

    example: ClassVar[dict[str, Any]] = {
        "heads": {"logits": 3, "prediction": 1},
        "num_numeric": 2,
        "cardinalities": [3, 4],
        "scales": {"prediction": [10.0, 2.0]},
        "numeric": torch.randn(4, 2, generator=torch.Generator().manual_seed(0)),
        "missing": torch.eye(4, 2, dtype=torch.bool),
        "categorical": torch.tensor([[0, 1], [1, 0], [2, 3], [1, 2]]),
    }

    def __init__(
        self,
        heads: dict[str, Annotated[int, Ge(1)]],
        num_numeric: Annotated[int, Ge(0)] = 0,
        cardinalities: Sequence[Annotated[int, Ge(1)]] = (),
        hidden: Annotated[int, Ge(1)] = 64,
        depth: Annotated[int, Ge(0)] = 2,
        embedding: Annotated[int, Ge(1)] = 8,
        dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
        scales: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__()
        self.scales = scales or {}
        for name, scale in self.scales.items():
            if name not in heads or len(scale) != 2:
                raise ConfigError(
                    f"TabularMLP: scales.{name} is {scale}; scales must be {{HEAD: [MEAN, STD]}}, with names of heads"
                )
        self.embeddings = nn.ModuleList(nn.Embedding(size, embedding) for size in cardinalities)
        width = 2 * num_numeric + embedding * len(cardinalities)
        if not width or not heads:
            raise ConfigError("TabularMLP needs a head, and num_numeric or cardinalities")
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]
            width = hidden
        self.body = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in heads.items()})

    def forward(
        self, numeric: Tensor | None = None, missing: Tensor | None = None, categorical: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Map `numeric` and `missing` (B, num_numeric) and `categorical` (B, columns) to `NAME` (B, size) or (B,)."""
        features = []
        if numeric is not None and missing is not None:
            features += [numeric, missing.to(numeric.dtype)]
        if categorical is not None:
            features += [embed(column) for embed, column in zip(self.embeddings, categorical.unbind(1), strict=True)]
        x = self.body(torch.cat(features, dim=1))
        output = {name: head(x) for name, head in self.heads.items()}
        for name, (mean, std) in self.scales.items():
            output[name] = output[name].float() * std + mean  # in half precision, large numbers would be rounded
        return {name: value.squeeze(1) if value.shape[1] == 1 else value for name, value in output.items()}

    def predict(self, **output: Tensor) -> dict[str, Tensor]:
        """Return the outputs, but for `logits` the most likely class, `label` (B,), and its `probability` (B,)."""
        logits = output.pop("logits", None)
        return output | (class_and_probability(logits) if logits is not None else {})
