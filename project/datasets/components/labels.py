"""Labels of all samples of a dataset."""

from collections.abc import Iterable
from typing import Any

import torch
from loguru import logger
from torch import Tensor

from project.datasets.base import EpochSamples
from project.registry import ConfigError


def read_labels(dataset: Any) -> Tensor:
    """Return the class of each sample, `(N,)` int64: the dataset's `labels` if it has them, else read from the samples.

    Raises:
        ConfigError: the samples have no `label`, or it is no class.
    """
    name, labels = type(dataset).__name__, getattr(dataset, "labels", None)
    if labels is None:
        count = len(dataset)
        logger.info(f"{name}: reading the labels of {count} samples; an attribute `labels` of the dataset saves this")
        samples = EpochSamples(dataset)
        samples.set_epoch(0)
        labels = [_label_of(samples.load(index), name) for index in range(count)]
    classes = torch.as_tensor(labels)
    if classes.shape != (len(dataset),) or classes.is_floating_point():
        raise ConfigError(f"{name}.labels is {tuple(classes.shape)} {classes.dtype}; it needs an integer per sample")
    return classes.long()


def _label_of(sample: Any, name: str) -> int:
    label = torch.as_tensor(sample["label"]) if isinstance(sample, dict) and "label" in sample else None
    if label is None or label.ndim or label.is_floating_point():
        raise ConfigError(f"{name}: each sample needs a class here: an entry `label`, one integer")
    return int(label)


def check_distinct(names: Iterable[str | None], setting: str) -> None:
    """Raise ConfigError if a setting has a name twice, such as that of a class, of which one would be lost."""
    given = [name for name in names if name is not None]
    if repeated := [name for name in given if given.count(name) > 1]:
        raise ConfigError(f"{setting} has '{repeated[0]}' twice")
