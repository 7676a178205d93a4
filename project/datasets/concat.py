"""Several datasets as one."""

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate, chain, groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from project.datasets.base import Dataset, EpochSamples
from project.datasets.components.views import count_samples, inner_attribute, permute, renumber
from project.registry import DATASET_REGISTRY, ConfigError


@DATASET_REGISTRY.register()
class Concat(Dataset):
    """Several datasets one after another. Their samples need the same names, shapes and classes.

    Its `raw` has the inputs that are the same in all parts.

    A sample's name in samples.csv begins with the number of its part, such as 0/cat/3.png. If a part has an `order`, it
    says which samples of the part an epoch has; all of them are shuffled.

    Args:
        parts: the datasets.

    Example::

        data:
          train:
            type: Concat
            parts:
              - {type: ImageFolder, path: photographs}
              - {type: ImageFolder, path: drawings, augmentation: {random_flip: {}}}
    """

    def __init__(self, parts: list[Dataset]) -> None:
        super().__init__()
        if not parts:
            raise ConfigError("Concat.parts is empty; it needs at least one dataset")
        self.parts: list[Any] = parts
        self.samples = [EpochSamples(part) for part in parts]
        self.ends = list(accumulate(count_samples(part, "Concat") for part in parts))
        if named := self._parts_having("classes"):
            self._check_equal("classes", [list(part.classes) for part in named], "; list all of them in each part")
            self.classes = named[0].classes
        if counted := self._parts_having("num_classes"):
            self.num_classes = max(part.num_classes for part in counted)
        first, *others = [getattr(part, "raw", {}) for part in self.parts]
        self.raw = {name: raw for name, raw in first.items() if all(other.get(name) == raw for other in others)}
        collates = [getattr(part.collate, "__func__", part.collate) for part in self._parts_having("collate")]
        if collates:
            self._check_equal("collate", collates + [None] * (len(parts) - len(collates)))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        part, inner = self._locate(range(len(self))[index])
        sample: dict[str, Tensor] = renumber(self.samples[part].load(inner), index)
        return sample

    def __getattr__(self, name: str) -> Any:
        """Return an attribute that all parts have with the same value, such as one that the yaml refers to."""
        if name == "parts":  # while a copy is unpickled, there are none yet
            raise AttributeError(name)
        first, *others = [inner_attribute(part, name) for part in self.parts]
        if not isinstance(first, int | float | str | list | tuple) or any(other != first for other in others):
            raise AttributeError(f"the parts of Concat do not have the same '{name}'")
        return first

    def set_epoch(self, epoch: int) -> None:
        """Pass on the epoch."""
        for samples in self.samples:
            samples.set_epoch(epoch)

    @property
    def __getitems__(self) -> Callable[[list[int]], Any]:
        if len(self._parts_having("__getitems__")) < len(self.parts):
            raise AttributeError
        return self._load_batch

    @property
    def collate(self) -> Callable[[Any], Any]:
        """The method that all parts have."""
        collate: Callable[[Any], Any] = self.parts[0].collate
        return collate

    @property
    def name(self) -> Callable[[int], str]:
        """The methods of the parts; the index in it is the name in a part that has none."""
        if not any(callable(getattr(part, "name", None)) for part in self.parts):
            raise AttributeError
        return self._name

    @property
    def order(self) -> Callable[[int, int], list[int]]:
        """The orders of the parts, shuffled together."""
        if not self._parts_having("order"):
            raise AttributeError
        return self._order

    @property
    def labels(self) -> Tensor | None:
        """The labels of all parts, if all have them."""
        found = [getattr(part, "labels", None) for part in self.parts]
        return None if any(each is None for each in found) else torch.cat([torch.as_tensor(each) for each in found])

    def _parts_having(self, attribute: str) -> list[Any]:
        return [part for part in self.parts if hasattr(part, attribute)]

    def _check_equal(self, attribute: str, found: list[Any], remedy: str = "") -> None:
        for number, value in enumerate(found):
            if value != found[0]:
                raise ConfigError(
                    f"Concat: `{attribute}` of parts.{number} is {value}, but that of parts.0 is {found[0]}; they must "
                    f"be equal{remedy}"
                )

    def _locate(self, index: int) -> tuple[int, int]:
        """Return the number of a sample's part, and its index in it."""
        part = bisect_right(self.ends, index)
        return part, index - (self.ends[part - 1] if part else 0)

    def _name(self, index: int) -> str:
        part, inner = self._locate(index)
        name_of = getattr(self.parts[part], "name", None)
        return f"{part}/{name_of(inner) if callable(name_of) else inner}"

    def _order(self, seed: int, epoch: int) -> list[int]:
        indices: list[int] = []
        for part, end in zip(self.parts, self.ends, strict=True):
            start = end - len(part)
            own = part.order(seed, epoch) if hasattr(part, "order") else range(len(part))
            indices += [start + int(index) for index in own]
        shuffled: list[int] = np.asarray(indices)[permute(len(indices), seed, epoch)].tolist()
        return shuffled

    def _load_batch(self, indices: list[int]) -> Any:
        """Return the rows of all parts in the order of `indices`."""
        located = [self._locate(index) for index in indices]
        rows = sorted(range(len(indices)), key=lambda row: located[row][0])
        batches = []
        for part, group in groupby(rows, key=lambda row: located[row][0]):
            inner = [located[row][1] for row in group]
            batches.append((part, self._check_rows(self.samples[part].load_batch(inner), part, inner)))
        first, others = batches[0], batches[1:]
        for part, batch in others:
            if (kind := _describe_row(batch)) != (expected := _describe_row(first[1])):
                raise ConfigError(
                    f"Concat: a sample of parts.{part} is {kind}, but one of parts.{first[0]} is {expected}; they must "
                    "have the same names and shapes"
                )
        if isinstance(first[1], list):
            samples = dict(zip(rows, chain(*(batch for _, batch in batches)), strict=True))
            return [renumber(samples[row], index) for row, index in enumerate(indices)]
        order = torch.tensor(rows).argsort()
        return {name: torch.cat([batch[name] for _, batch in batches])[order] for name in first[1]}

    def _check_rows(self, batch: Any, part: int, inner: list[int]) -> Any:
        """Return what the `__getitems__` of a part returned, without its `index`, if it has the rows of the samples."""
        own = batch.get("index") if isinstance(batch, dict) else None
        if own is not None:
            batch = {name: value for name, value in batch.items() if name != "index"}
        values = batch.values() if isinstance(batch, dict) else [batch]
        if (own is not None and torch.as_tensor(own).tolist() != inner) or any(
            _count(each) != len(inner) for each in values
        ):
            name = type(self.parts[part]).__name__
            raise ConfigError(
                f"Concat: `__getitems__` of parts.{part} ({name}) must return a list of the {len(inner)} samples that "
                "it was asked for, or a dict of tensors with a row for each"
            )
        return batch


def _count(value: Any) -> int | None:
    has_rows = isinstance(value, list) or (isinstance(value, Tensor) and value.ndim)
    return len(value) if has_rows else None


def _describe_row(batch: Any) -> Any:
    return {name: tuple(value.shape[1:]) for name, value in batch.items()} if isinstance(batch, dict) else "not batched"
