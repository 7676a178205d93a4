"""Base class of visuals."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Visual(ABC):
    """Base class of visuals, which draw samples and outputs as one picture.

    The parameters of `__call__` name tensors of the batch or of the model's output.

    Example::

        @VISUAL_REGISTRY.register()
        class Row(Visual):
            def __call__(self, image: Tensor, prediction: Tensor) -> Tensor:
                pictures = torch.cat([image, prediction], dim=2)  # (B, 3, 2 * H, W)
                return torch.cat(list(pictures.clamp(0, 1)), dim=2)

    A visual may return a figure of matplotlib (`pip install -e '.[plots]'`), which is closed after it was drawn::

        @VISUAL_REGISTRY.register()
        class Scatter(Visual):
            def __call__(self, prediction: Tensor, target: Tensor) -> Figure:
                figure = Figure(figsize=(4, 4), layout="constrained")  # of matplotlib.figure; pyplot's work as well
                axes = figure.subplots()
                axes.scatter(target.flatten(), prediction.flatten())
                axes.set(xlabel="target", ylabel="prediction")
                return figure
    """

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> "Tensor | Figure":
        """Draw a few samples, given their tensors `(B, ...)` on the CPU.

        Returns:
            A picture `(3, H, W)` of floats in [0, 1] or integers in [0, 255], or a Figure of matplotlib.
        """
