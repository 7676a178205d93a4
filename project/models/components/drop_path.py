"""Stochastic depth (Huang et al., Deep Networks with Stochastic Depth, 2016)."""

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Layer at the end of a residual branch that drops the branch of random samples in training.

    The branches that stay are divided by the probability to stay, so that the expected value does not change.

    Args:
        p: probability that a sample loses the branch, in [0, 1).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, ...)` to the same shape; in evaluation, return the input."""
        if not self.training or self.p == 0:
            return x
        stays = 1 - self.p
        shape = (len(x), *[1] * (x.ndim - 1))
        return x * ((torch.rand(shape, device=x.device) < stays) / stays).to(x.dtype)

    def extra_repr(self) -> str:
        """Return the probability, for `print`."""
        return f"p={self.p}"


def drop_rates(last: float, depth: int) -> list[float]:
    """Return the probability of each of `depth` blocks: it grows linearly, up to that of the last block."""
    return [last * number / depth for number in range(1, depth + 1)]
