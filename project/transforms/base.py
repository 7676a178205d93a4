"""Base classes of transforms."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor


class Transform(ABC):
    """Base class of transforms of samples.

    If the dataset fetches whole batches, a transform receives a batch: tensors may have any leading dimensions.

    Example::

        @TRANSFORM_REGISTRY.register()
        class CenterPoints(Transform):
            def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
                points = sample["points"]  # (..., N, 3)
                return sample | {"points": points - points.mean(-2, keepdim=True)}
    """

    @abstractmethod
    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the sample with some tensors replaced; the argument must not change."""


class PictureTransform(Transform):
    """Base class of transforms of pictures `(..., C, H, W)`.

    Random parameters are drawn for each picture of a batch; all `keys` of a sample share them.

    Args:
        keys: names of the tensors to transform; their H and W must be equal.

    Example::

        @TRANSFORM_REGISTRY.register()
        class RandomGain(PictureTransform):
            def draw(self, count: int, height: int, width: int) -> Tensor:
                return 0.5 + 0.5 * torch.rand(count, 1, 1, 1)

            def change(self, pictures: Tensor, drawn: Tensor) -> Tensor:
                return pictures * drawn
    """

    def __init__(self, keys: Sequence[str] = ("image",)) -> None:
        self.keys = [keys] if isinstance(keys, str) else list(keys)

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        flat = {key: sample[key].reshape(-1, *sample[key].shape[-3:]) for key in self.keys}
        sizes = {(len(pictures), *pictures.shape[-2:]) for pictures in flat.values()}
        if len(sizes) > 1:
            raise ValueError(f"{', '.join(self.keys)} must have the same number of pictures and size, not {sizes}")
        drawn = self.draw(*sizes.pop())
        changed = {key: self.change(pictures, drawn) for key, pictures in flat.items()}
        return sample | {key: new.reshape(*sample[key].shape[:-3], *new.shape[-3:]) for key, new in changed.items()}

    def draw(self, count: int, height: int, width: int) -> Any:
        """Draw random parameters for `count` pictures of the same size; by default None."""
        return None

    @abstractmethod
    def change(self, pictures: Tensor, drawn: Any) -> Tensor:
        """Transform pictures `(count, C, H, W)` with the parameters from `draw`."""
