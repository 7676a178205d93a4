"""Classifier of sequences."""

from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor, nn

from project.models.base import Classifier
from project.registry import MODEL_REGISTRY, ConfigError


@MODEL_REGISTRY.register()
class SequenceClassifier(Classifier):
    """Gated recurrent units (GRU) over sequences with padding at the end; the mean of the states is classified.

    Args:
        num_classes: number of classes.
        num_tokens: number of tokens, if sequences are tokens; else 0.
        num_features: numbers in each vector, if sequences are vectors; else 0.
        width: number of channels of a state.
        depth: number of layers of units.
    """

    example: ClassVar[dict[str, Any]] = {
        "num_tokens": 9,
        "sequence": torch.arange(20).reshape(4, 5) % 9,
        "mask": torch.arange(5) < torch.tensor([5, 1, 3, 4])[:, None],
    }

    def __init__(
        self,
        num_classes: Annotated[int, Ge(1)],
        num_tokens: Annotated[int, Ge(0)] = 0,
        num_features: Annotated[int, Ge(0)] = 0,
        width: Annotated[int, Ge(1)] = 64,
        depth: Annotated[int, Ge(1)] = 1,
    ) -> None:
        super().__init__()
        if bool(num_tokens) == bool(num_features):
            raise ConfigError("SequenceClassifier needs either num_tokens or num_features")
        self.num_tokens, self.num_features = num_tokens, num_features
        self.embed = nn.Embedding(num_tokens, width) if num_tokens else nn.Linear(num_features, width)
        self.units = nn.GRU(width, width, depth, batch_first=True)
        self.head = nn.Linear(width, num_classes)

    def forward(self, sequence: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Map `sequence` (B, T) or (B, T, F) and `mask` (B, T), false in the padding, to `logits` (B, num_classes)."""
        if not (self.num_features or torch.compiler.is_compiling() or sequence.is_cuda):  # a GPU would have to wait
            self._check_tokens(sequence)
        states, _ = self.units(self.embed(sequence))  # a state depends on earlier positions only, not on the padding
        mean = states.masked_fill(~mask[..., None], 0).sum(1) / mask.sum(1, keepdim=True)
        return {"logits": self.head(mean)}

    def _check_tokens(self, sequence: Tensor) -> None:
        if (largest := int(sequence.max())) >= self.num_tokens:
            raise ConfigError(
                f"SequenceClassifier: a sequence has the token {largest}, but num_tokens is {self.num_tokens}\n"
                f"If the training set lacks such tokens, set its num_tokens to at least {largest + 1}"
            )
