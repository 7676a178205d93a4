"""Figures of matplotlib as pictures. matplotlib is not imported here, because only components that use it need it."""

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor


def is_figure(value: object) -> bool:
    """Return whether a value is a matplotlib Figure."""
    module = sys.modules.get("matplotlib.figure")
    return module is not None and isinstance(value, module.Figure)


def draw_figure(figure: Any) -> Tensor:
    """Return a figure as a picture `(3, H, W)` of uint8, at its own dpi, and close it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = torch.from_numpy(np.array(canvas.buffer_rgba()))[:, :, :3]
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close(figure)  # pyplot keeps all figures that it created
    return pixels.permute(2, 0, 1)
