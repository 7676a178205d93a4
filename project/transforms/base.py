"""What a transform is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor


class Transform(ABC):
    """Changes a sample, or a whole batch where the dataset fetches batches: leading dimensions are free."""

    @abstractmethod
    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        """The sample with some of its tensors replaced."""


class PictureTransform(Transform):
    """Changes pictures `(..., C, H, W)`, those of a batch each by itself.

    Args:
        keys: which tensors of the sample; they are of one size and change alike.
    """

    def __init__(self, keys: Sequence[str] = ("image",)) -> None:
        self.keys = [keys] if isinstance(keys, str) else list(keys)

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        flat = {key: sample[key].reshape(-1, *sample[key].shape[-3:]) for key in self.keys}
        sizes = {(len(pictures), *pictures.shape[-2:]) for pictures in flat.values()}
        if len(sizes) > 1:
            raise ValueError(f"{', '.join(self.keys)} change alike, but are of different sizes: {sizes}")
        drawn = self.draw(*sizes.pop())
        changed = {key: self.change(pictures, drawn) for key, pictures in flat.items()}
        return sample | {key: new.reshape(*sample[key].shape[:-3], *new.shape[-3:]) for key, new in changed.items()}

    def draw(self, count: int, height: int, width: int) -> Any:
        """What is random and the same for all keys, for `count` pictures of a size."""
        return None

    @abstractmethod
    def change(self, pictures: Tensor, drawn: Any) -> Tensor:
        """The changed pictures, from `(count, C, H, W)` and what was drawn."""
