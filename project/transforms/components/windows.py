"""Windows of pictures."""

import torch
from torch import Tensor

Corners = tuple[Tensor, Tensor]


def random_corners(count: int, vertical: int, horizontal: int) -> Corners:
    """Draw the top, in [0, `vertical`], and the left, in [0, `horizontal`], of windows: `(count,)` each."""
    return torch.randint(vertical + 1, (count,)), torch.randint(horizontal + 1, (count,))


def cut(pictures: Tensor, corners: Corners, height: int, width: int) -> Tensor:
    """Cut a window `(N, C, height, width)` out of each picture `(N, C, H, W)`."""
    top, left = corners
    windows = pictures.unfold(2, height, 1).unfold(3, width, 1)  # a view: only the windows are copied
    return windows[torch.arange(len(pictures)), :, top, left]
