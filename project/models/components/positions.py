"""Position embeddings."""

import math

import torch
from torch import Tensor


def sincos_positions(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """Return position embeddings `(height * width, channels)`: sines and cosines of the row and the column.

    Vaswani et al., Attention Is All You Need, 2017, in two dimensions. `channels` must be a multiple of 4.
    """
    count = channels // 4
    frequency = torch.exp(torch.arange(count, device=device) / count * -math.log(10_000))
    rows, columns = (torch.arange(length, device=device)[:, None] * frequency for length in (height, width))
    row, column = (torch.cat([angle.sin(), angle.cos()], dim=1) for angle in (rows, columns))
    return torch.cat([row[:, None].expand(-1, width, -1), column[None].expand(height, -1, -1)], dim=2).flatten(0, 1)
