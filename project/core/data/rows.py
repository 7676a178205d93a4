"""Rows of batches, and the samples that they belong to, also if a dataset's `collate` drops or repeats samples."""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_flatten

from project.core.data.tensors import describe_shapes
from project.core.errors import ConfigError

_INDEX = "index"  # stored: the first column of samples.csv


def add_indices(samples: Sequence[Any], indices: Sequence[int]) -> list[Any]:
    """Return samples with their `index`, unless they have one, so that a dataset's `collate` can pass it on."""
    return [_add_index(sample, index) for sample, index in zip(samples, indices, strict=True)]


def call_collate(collate: Callable[[Any], Any], samples: Sequence[Any]) -> Any:
    """Return the batch of samples; explain the error of a `collate` that dropped all of them."""
    try:
        return collate(samples)
    except IndexError as error:
        error.add_note("If `collate` drops all samples of a batch, it must return {}")
        raise


def require_dict(batch: Any, samples: object, location: str) -> None:
    """Raise ConfigError if a batch is no dict.

    Args:
        batch: the batch.
        samples: what the dataset returned; a list of samples, or the batch itself.
        location: the dataset, for messages.
    """
    if not isinstance(batch, dict):
        sample = samples[0] if isinstance(samples, list) and samples else samples
        given = batch if isinstance(sample, dict) else sample
        raise ConfigError(
            f"{location} yields a {type(given).__name__}; a sample must be a dict of named tensors\n"
            'Let the dataset return a dict, such as {"image": image, "label": label}'
        )


def identify_rows(
    batch: dict[str, Any], count: int, indices: Sequence[int] | None, is_training: bool, location: str
) -> dict[str, Any]:
    """Return a batch with the `index` of each row in front, as an array.

    It is the batch's own `index`; without one, it is that of the samples if the batch has a row for each of them.
    Otherwise a training batch has no `index`: only its number of rows matters.

    Args:
        batch: the batch of `count` samples; an empty dict if all of them were dropped.
        count: number of samples that were collated.
        indices: their indices; None if the dataset is iterable, which gives only some batches an `index`.
        is_training: whether it is a training batch.
        location: the dataset, for messages.

    Raises:
        ConfigError: in training, the batch has no rows; in evaluation, its rows belong to unknown samples.
    """
    own, requested = _as_indices(batch.get(_INDEX)), count
    if own is not None:
        count = len(own)
    elif not batch or _row_counts(batch) == {0}:
        count, indices = 0, []
    if is_training and count == 0:
        raise ConfigError(
            f"{location}: no row is left of a training batch\n"
            "Let `collate` replace some samples instead of dropping all of them, or set a larger data.batch_size"
        )
    sizes = _row_counts(batch)
    if (sizes and count not in sizes) or (_INDEX in batch and own is None):
        if is_training:
            return batch
        raise ConfigError(
            f"{location}: a batch of {requested} samples came as {describe_shapes(batch)}\n"
            "Return `index` (rows,) with it, the index of each row's sample; samples that `collate` gets contain theirs"
        )
    if own is None and indices is None:
        return batch
    return {_INDEX: None} | batch | {_INDEX: np.asarray(indices, dtype=np.int64) if own is None else own}


def is_same_besides_index(one: Any, two: Any) -> bool:
    """Return whether two batches are equal, apart from their `index`."""
    (ones, structure), (twos, other) = (tree_flatten(_without_index(batch)) for batch in (one, two))
    return structure == other and all(map(_is_equal, ones, twos))


def share_rows(index: NDArray[np.int64], share: slice, count: int) -> slice | NDArray[np.int64]:
    """Return the rows of a process, given its share of `count` samples; rows of the same sample stay together."""
    if len(index) == count:
        return share
    samples, group = np.unique(index, return_inverse=True)
    first, end = (min(bound, count) * len(samples) // count for bound in (share.start, share.stop))
    return np.flatnonzero((group >= first) & (group < end))


def take_rows(batch: dict[str, Any], rows: slice | NDArray[np.int64]) -> dict[str, Any]:
    """Return a batch with some of its rows; entries that have no row for each `index` are kept whole."""
    count = len(batch[_INDEX])

    def take(value: Any) -> Any:
        if isinstance(value, list) and len(value) == count:
            return [value[row] for row in np.arange(count)[rows]]
        has_rows = isinstance(value, Tensor | np.ndarray) and value.ndim > 0 and len(value) == count
        return value[rows] if has_rows else value

    return {name: take(value) for name, value in batch.items()}


def index_to_tensor(batch: Any) -> Any:
    """Return a batch whose `index` is a tensor; workers send it as an array, because sending a tensor takes longer."""
    if isinstance(batch, dict) and isinstance(index := batch.get(_INDEX), np.ndarray):
        return batch | {_INDEX: torch.from_numpy(index)}
    return batch


def _add_index(sample: Any, index: int) -> Any:
    if not isinstance(sample, dict) or _INDEX in sample:
        return sample
    indexed = copy(sample)  # the dataset may keep its samples
    indexed[_INDEX] = torch.tensor(index)
    return indexed


def _without_index(batch: Any) -> Any:
    return {name: value for name, value in batch.items() if name != _INDEX} if isinstance(batch, dict) else batch


def _is_equal(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.shape == two.shape and torch.equal(one, two)
    return bool(np.array_equal(one, two)) if isinstance(one, np.ndarray) else one == two


def _as_indices(value: object) -> NDArray[np.int64] | None:
    """Return integers as an array (rows,); None if the value is something else."""
    if isinstance(value, list) and all(isinstance(item, int) or _is_integer(item) for item in value):
        value = np.array([int(item) for item in value], dtype=np.int64)
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 1:
        array = np.asarray(value)
        return array.astype(np.int64, copy=False) if array.dtype.kind in "iu" else None
    return None


def _is_integer(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0 and not value.is_floating_point()


def _row_counts(value: object) -> set[int]:
    """Return the lengths of all tensors and lists in a batch, or in an entry of it, without those of `index`."""
    if isinstance(value, Tensor):
        return {value.shape[0]} if value.ndim else set()
    if isinstance(value, dict):
        return set().union(*(_row_counts(item) for name, item in value.items() if name != _INDEX))
    if isinstance(value, list | tuple):
        return {len(value)}.union(*map(_row_counts, value))
    return set()
