"""What a transform is."""

from abc import ABC, abstractmethod

from torch import Tensor


class Transform(ABC):
    """Changes a sample, or a whole batch where the dataset fetches batches: leading dimensions are free."""

    @abstractmethod
    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        """The sample with some of its tensors replaced; pictures are `(..., C, H, W)`."""
