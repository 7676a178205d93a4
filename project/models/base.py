"""What a net is."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Model(nn.Module, ABC):
    """A net: `forward`'s parameters name the tensors of the batch that it gets.

    It returns a dict of named tensors, or one tensor that the yaml names with `output`.
    It may have `predict(**output) -> dict` of tensors `(B, ...)`: what the stage `predict` writes.
    """

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Tensor | dict[str, Tensor]:
        """From the batch's tensors to the output's."""
