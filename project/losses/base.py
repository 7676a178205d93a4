"""What a loss is."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Loss(nn.Module, ABC):
    """A loss: `forward`'s parameters name the tensors of batch and output that it gets.

    It may have `per_sample(...) -> (B,)`: its column in samples.csv.
    """

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Tensor | dict[str, Tensor]:
        """A scalar, the mean over the batch; or a dict of scalars, which are added up."""
