"""Batches of a step, as `training_step` got them: samples, tensors, and pictures of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from project.core.data.datamodule import DataModule, sample_namer
from project.core.data.tensors import named_tensors
from project.core.training.non_finite import dense_values
from project.study.replay.sample_losses import BatchLosses
from project.study.replay.step_record import SampleRecord, TensorRecord

Array = NDArray[Any]
_INDEX = "index"


@dataclass
class SeenBatch:
    """A batch of one process.

    Args:
        number: its number in the epoch, from 1.
        seed: seed of its random numbers.
        tensors: its tensors by name, on the CPU.
        rows: number of its samples.
        indices: indices of the samples in the dataset; empty if they are not known.
        names: what the dataset calls them; empty if it does not name them.
        losses: its losses.
    """

    number: int
    seed: int
    tensors: dict[str, Tensor]
    rows: int
    indices: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    losses: BatchLosses = field(default_factory=BatchLosses)


def see_batch(trainer: pl.Trainer, batch: object, number: int, seed: int) -> SeenBatch:
    """Copy a batch, before anything changes it."""
    tensors = {name: dense_values(value).cpu().clone() for name, value in named_tensors(batch)}
    rows = next((len(value) for value in tensors.values() if value.ndim), 0)
    indices = _indices(batch, rows)
    namer = sample_namer(trainer, "train", 0) if isinstance(_data(trainer), DataModule) else None
    names = [str(namer(index)) for index in indices] if namer else []
    return SeenBatch(number, seed, tensors, rows, indices, names)


def sample_records(batches: Sequence[SeenBatch]) -> tuple[list[SampleRecord], dict[str, float], dict[str, bool]]:
    """Return the samples, the losses of the step, and whether these are means over the samples."""
    values: dict[str, list[float]] = {}
    for batch in batches:
        for name, value in batch.losses.values.items():
            values.setdefault(name, []).append(value)
    losses = {name: sum(found) / len(found) for name, found in values.items()}
    divides = {name: all(name in batch.losses.rows for batch in batches) for name in losses}
    # The sum first: by it, samples are sorted.
    names = sorted((name for name in losses if divides[name]), key=lambda name: name != "sum")
    samples: list[SampleRecord] = []
    for batch in batches:
        for row in range(batch.rows):
            own = {name: batch.losses.rows[name][row] for name in names if row < len(batch.losses.rows[name])}
            index = batch.indices[row] if batch.indices else None
            samples.append(SampleRecord(len(samples), index, batch.names[row] if batch.names else "", own))
    return sorted(samples, key=_first_loss), losses, divides


def join_tensors(batches: Sequence[SeenBatch]) -> dict[str, Array]:
    """Return the tensors of all batches by name: joined, or where they do not fit, as `NAME.0`, `NAME.1`."""
    joined: dict[str, Array] = {}
    for name in dict.fromkeys(name for batch in batches for name in batch.tensors):
        parts = [(position, batch.tensors[name]) for position, batch in enumerate(batches) if name in batch.tensors]
        has_rows = all(part.ndim and len(part) == batches[position].rows for position, part in parts)
        kinds = {(part.shape[1:], part.dtype) for _, part in parts}
        if len(batches) == 1:
            joined[name] = _array(parts[0][1])
        elif has_rows and len(kinds) == 1 and len(parts) == len(batches):
            joined[name] = _array(torch.cat([part for _, part in parts]))
        else:
            joined |= {f"{name}.{position}": _array(part) for position, part in parts}
    return joined


def tensor_records(batches: Sequence[SeenBatch], arrays: Mapping[str, Array]) -> list[TensorRecord]:
    """Return shapes and ranges of the tensors of a step."""
    dtypes = {
        name: str(value.dtype).removeprefix("torch.") for batch in batches for name, value in batch.tensors.items()
    }
    records, rows = [], sum(batch.rows for batch in batches)
    for name, array in arrays.items():
        finite = array[np.isfinite(array)] if array.dtype.kind in "fc" else array
        low, high, mean = [None] * 3 if not finite.size or finite.dtype.kind == "c" else _bounds(finite)
        dtype = dtypes.get(name) or dtypes[name.rpartition(".")[0]]
        peaks = _peaks(array) if array.ndim and len(array) == rows else []
        records.append(
            TensorRecord(name, list(array.shape), dtype, low, high, mean, int(array.size - finite.size), peaks)
        )
    return records


def non_finite_samples(samples: Sequence[SampleRecord], arrays: Mapping[str, Array]) -> list[str]:
    """Return which tensors of a batch are not finite, and in which samples."""
    found, by_row = [], {sample.row: sample for sample in samples}
    for name, array in arrays.items():
        if array.dtype.kind not in "fc" or np.isfinite(array).all():
            continue
        bad: list[int] = []
        if array.ndim and len(array) == len(samples):
            bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1)).tolist()
        shown = ", ".join(describe_sample(by_row[row]) for row in bad[:8]) + (", ..." if len(bad) > 8 else "")
        found.append(f"the batch: {name} is not finite" + (f" in {shown}" if bad else ""))
    return found


def describe_sample(sample: SampleRecord) -> str:
    """Return the name of a sample, or its index, or its row."""
    return sample.name or (f"sample {sample.index}" if sample.index is not None else f"row {sample.row}")


def _data(trainer: pl.Trainer) -> object:
    return trainer.datamodule  # type: ignore[attr-defined]


def _indices(batch: object, rows: int) -> list[int]:
    index = batch.get(_INDEX) if isinstance(batch, Mapping) else None
    is_known = isinstance(index, Tensor) and index.shape == (rows,) and not index.is_floating_point()
    return index.tolist() if is_known and isinstance(index, Tensor) else []


def _first_loss(sample: SampleRecord) -> float:
    """Return a key by which the largest loss is first, and NaN before it."""
    loss = next(iter(sample.losses.values()), 0.0)
    return -np.inf if np.isnan(loss) else -loss


def _array(tensor: Tensor) -> Array:
    """Return a tensor as an array; numpy has no bfloat16."""
    try:
        array: Array = tensor.numpy()
    except TypeError:
        array = tensor.float().numpy()
    return array


def _peaks(array: Array) -> list[float]:
    """Return the largest absolute finite value of each row; none of whole numbers, which may be classes."""
    if array.dtype.kind != "f" or not array.size:
        return []
    values = np.abs(array.reshape(len(array), -1))
    return [float(value) for value in np.where(np.isfinite(values), values, 0).max(axis=1)]


def _bounds(values: Array) -> list[float]:
    return [float(values.min()), float(values.max()), float(values.mean(dtype=np.float64))]
