"""Normalization."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor, nn

from project.registry import TRANSFORM_REGISTRY, ConfigError
from project.transforms.base import PictureTransform


@TRANSFORM_REGISTRY.register()
class Normalize(PictureTransform, nn.Module):
    """Normalization by a mean and a standard deviation per channel.

    Without them it is fitted: to the mean and the (population) standard deviation of all pixels of the training set.
    Then it belongs in `model.prepare`, where all splits share it, and checkpoints contain its values::

        model:
          prepare: {normalize: {}}

    Args:
        mean: mean of each channel, or one value for all; null fits it, with `std`.
        std: standard deviation of each channel, or one value for all, > 0; null fits it, with `mean`.
        keys: names of the pictures `(..., C, H, W)`; fitted to all of them together.
    """

    example: ClassVar[dict[str, Any]] = {"mean": [0.5], "std": [0.25]}
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: list[float] | None = None,
        std: list[Annotated[float, Gt(0)]] | None = None,
        keys: Sequence[str] = ("image",),
    ) -> None:
        nn.Module.__init__(self)
        super().__init__(keys)
        if (mean is None) != (std is None):
            raise ConfigError("Normalize takes both mean and std; without both, it is fitted to the training set")
        # Values of the yaml are not saved: those of a changed yaml count.
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values or []).view(-1, 1, 1), persistent=values is None)

    def fit_to(self, dataset: Iterable[dict[str, Tensor]]) -> None:
        """Set mean and standard deviation to those of all pixels of the samples."""
        moments = _Moments()
        for sample in dataset:
            self.check_keys(sample)
            for key in self.keys:
                moments.add(sample[key])
        std = moments.std()
        if not (std > 0).all():
            raise ConfigError(f"Normalize: a channel of the training set has the same value everywhere (std {std})")
        self.mean, self.std = (value.to(self.mean.dtype).view(-1, 1, 1) for value in (moments.mean, std))

    def change(self, pictures: Tensor, drawn: None) -> Tensor:
        dtype = pictures.dtype if pictures.is_floating_point() else torch.float32
        mean, std = self.mean.to(dtype), self.std.to(dtype)
        if any(len(values) not in (1, pictures.shape[1]) for values in (mean, std)):
            raise ConfigError(self._explain(pictures.shape[1]))
        return (pictures.to(dtype) - mean) / std

    def _explain(self, channels: int) -> str:
        if not len(self.mean):
            return (
                "Normalize without mean and std is fitted only in model.prepare\n"
                "Move it there, or give it both in the augmentation of every dataset"
            )
        given = f"mean has {len(self.mean)} and std {len(self.std)} values"
        return f"Normalize: {given}, but a picture has {channels} channels"


class _Moments:
    """Mean and variance per channel of pictures that are added one after the other (Chan et al., 1979), in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros(())  # sum of squared differences from the mean

    def add(self, picture: Tensor) -> None:
        """Add a picture `(..., C, H, W)`."""
        pixels = picture.double().movedim(-3, 0).flatten(1)
        count, mean = pixels.shape[1], pixels.mean(1)
        if self.count and len(mean) != len(self.mean):
            raise ConfigError(f"Normalize: pictures have {len(self.mean)} and {len(mean)} channels; they need the same")
        difference, total = mean - self.mean, self.count + count
        self.squares = self.squares + (pixels - mean[:, None]).square().sum(1)
        self.squares += difference.square() * (self.count * count / total)
        self.mean, self.count = self.mean + difference * (count / total), total

    def std(self) -> Tensor:
        """Return the population standard deviation, `(C,)`."""
        return (self.squares / max(1, self.count)).sqrt()
