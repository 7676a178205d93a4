"""What a visual is."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor


class Visual(ABC):
    """Draws the picture to look at: `__call__`'s parameters name the tensors of batch and output that it gets."""

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """One picture `(3, H, W)` of a few samples, whose tensors are `(B, ...)` on the CPU.

        It is in [0, 1], or in 0 to 255 where it is of an integer type.
        """
