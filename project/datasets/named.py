"""Datasets that do not return dicts of named tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from project.datasets.base import Dataset, Transform
from project.datasets.components.labels import check_distinct
from project.datasets.components.views import Wrapper, count_samples
from project.registry import DATASET_REGISTRY, ConfigError

_KEPT = ("int64", "float32", "bool")  # dtypes that no value of a sample loses
_CHANNELS = (1, 3, 4)
_DEEP = ("I", "I;16", "F")  # Pillow's modes with more than 8 bits


@DATASET_REGISTRY.register()
class Named(Wrapper):
    """Samples of a dataset of another package, as named tensors.

    Numbers, lists and arrays become tensors: integers int64, floats float32. Pictures, of Pillow or uint8 (H, W),
    (H, W, C) or (C, H, W), become floats (C, H, W) in [0, 1].

    Args:
        dataset: dataset whose samples are tuples, lists, dicts or single values.
        fields: names of the values of a tuple; null leaves one out. Of a dict, the names that are kept, or
            {NAME: NEW_NAME, ...}.
        pictures: names, of the result, of pictures; other grey or palette pictures, such as masks, become int64 (H, W).
        augmentation: transforms by name, applied in this order.

    Example::

        data:
          train: {type: Named, fields: [image, label], dataset: {type: torchvision.datasets.MNIST, root: data}}
    """

    def __init__(
        self,
        dataset: Dataset,
        fields: list[str | None] | dict[str, str],
        pictures: Sequence[str] = ("image",),
        augmentation: dict[str, Transform] | None = None,
    ) -> None:
        super().__init__(dataset, augmentation)
        check_distinct(fields.values() if isinstance(fields, dict) else fields, "Named.fields")
        self.fields, self.pictures, self.kind = fields, pictures, type(dataset).__name__
        self.count = count_samples(dataset, "Named")
        given = getattr(dataset, "raw", {})
        kept = {name: raw for name, raw in given.items() if raw.dtype in _KEPT}
        self.raw = {new: kept[old] for old, new in self._renamed().items() if old in kept}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        values = self._name_values(self.samples.load(index))
        return self.augment({name: self._to_tensor(value, name) for name, value in values.items()})

    def _renamed(self) -> dict[str, str]:
        """Return the new name of each entry of a dict."""
        return self.fields if isinstance(self.fields, dict) else {name: name for name in self.fields if name}

    def _name_values(self, sample: Any) -> dict[str, Any]:
        if isinstance(sample, Mapping):
            renamed = self._renamed()
            if missing := [name for name in renamed if name not in sample]:
                known = ", ".join(map(str, sample))
                raise ConfigError(f"Named.fields: a sample of {self.kind} has no '{missing[0]}'; it has {known}")
            return {new: sample[old] for old, new in renamed.items()}
        values = list(sample) if isinstance(sample, tuple | list) else [sample]
        if isinstance(self.fields, dict) or len(values) != len(self.fields):
            given = "renames entries of a dict" if isinstance(self.fields, dict) else f"has {len(self.fields)} names"
            described = ", ".join(map(_describe, values))
            raise ConfigError(
                f"Named.fields {given}, but a sample of {self.kind} has {len(values)} values: {described}"
            )
        return {name: value for name, value in zip(self.fields, values, strict=True) if name is not None}

    def _to_tensor(self, value: Any, name: str) -> Tensor:
        is_picture = name in self.pictures
        if isinstance(value, Image.Image):
            is_picture |= value.mode not in ("1", "L", "P", *_DEEP)
            if is_picture and value.mode not in ("L", "RGB", "RGBA", *_DEEP):
                value = value.convert("L" if value.mode == "1" else "RGB")
            value = np.array(value)
            value = np.moveaxis(value, -1, 0) if value.ndim == 3 else value
        try:
            tensor = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"Named.fields: '{name}' of {self.kind} is {_describe(value)}, no tensor; leave it out (null in a list)"
            ) from error
        if is_picture and tensor.dtype == torch.uint8:
            return _to_picture(tensor)
        if tensor.is_floating_point():
            return tensor.float()
        return tensor if tensor.dtype == torch.bool or tensor.is_complex() else tensor.long()


def _to_picture(pixels: Tensor) -> Tensor:
    """Return pixels (H, W), (H, W, C) or (C, H, W) as a picture (C, H, W) in [0, 1]."""
    if pixels.ndim == 2:
        pixels = pixels.unsqueeze(0)
    elif pixels.ndim == 3 and pixels.shape[0] not in _CHANNELS and pixels.shape[2] in _CHANNELS:
        pixels = pixels.permute(2, 0, 1)
    return pixels.float() / 255


def _describe(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"{type(value).__name__} {tuple(shape)}"
