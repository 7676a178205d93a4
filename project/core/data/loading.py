"""Loading of batches from a dataset."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch
from lightning_fabric.utilities.data import sized_len
from torch.utils.data import DataLoader, IterableDataset, default_collate
from torch.utils.data import Dataset as TorchDataset

from project.core.data.rows import (
    add_indices,
    call_collate,
    identify_rows,
    index_to_tensor,
    is_same_besides_index,
    require_dict,
    share_rows,
    take_rows,
)
from project.core.data.sampling import BatchRequest, GetPosition, ResumableBatchSampler, TrainingPosition
from project.core.data.seeding import (
    BATCH,
    BATCH_AUGMENTATION,
    COLLATE,
    EPOCH,
    SAMPLE,
    derive_seeds,
    seed_all,
    set_seed,
)
from project.core.data.streams import Stream, StreamLoader
from project.core.data.tensors import Tensors, abbreviate, apply_transform, describe_shapes
from project.core.data.workers import raise_from_dataset, receive
from project.core.errors import ConfigError, is_file_error, located
from project.datasets.base import EpochSamples
from project.registry import Transform

_Batch = TypeVar("_Batch")


class BatchDataset(TorchDataset[dict[str, Any]]):
    """Whole, collated batches of a dataset: from one call of `__getitems__` if the dataset has it, else by sample.

    Python, numpy and torch are seeded for each sample by (seed, dataset, epoch, index), and for each batch, so random
    numbers depend neither on workers nor on processes. One exception: a dataset with `__getitems__` loads each
    process's share of a training batch in one call, with one seed for the share. In evaluation, each process loads the
    whole batch from such a dataset and keeps its own rows. The samples' `index` (B,) is added to a batch, unless the
    dataset provides it; `rows.py` says what happens if the dataset returns another number of rows than samples.

    Args:
        dataset: the dataset.
        path: its config path, for messages and seeds.
        seed: seed of the run.
        is_training: whether it is the training set.
        transforms: transforms of this process's share of each batch, which gets a seed of its own.
    """

    def __init__(
        self, dataset: Any, path: str, seed: int, is_training: bool, transforms: Sequence[Transform] = ()
    ) -> None:
        self.dataset, self.path, self.seed, self.is_training = dataset, path, seed, is_training
        self.samples, self.epoch = EpochSamples(dataset), -1
        self.transforms = transforms
        self.location = f"{path} ({type(dataset).__name__})"
        self.collate: Callable[[Any], Tensors] = getattr(dataset, "collate", default_collate)
        self.has_getitems = hasattr(dataset, "__getitems__")
        has_collate = self.collate is not default_collate
        self.may_change_rows = self.has_getitems or has_collate
        # None: not known before the first batch of an evaluation, in which each row has its `index`.
        self.adds_indices = None if has_collate and not is_training else False

    def __getitem__(self, request: BatchRequest) -> dict[str, Any]:
        """Return this process's rows of a batch; tensors without rows if the batch has no sample for this process."""
        own = request.indices[request.rows]
        loads_whole_batch = self.has_getitems and not self.is_training
        # Without samples of its own, a process needs the names and dtypes: a single sample may be dropped by `collate`.
        others = request.indices if self.may_change_rows else request.indices[:1]
        indices = request.indices if loads_whole_batch else own or others
        try:
            batch = self._load_identified(indices, request)
            if self.transforms:
                seed_all(self.seed, self.path, BATCH_AUGMENTATION, request.epoch, request.batch, request.rows.start)
                for transform in self.transforms:
                    batch = apply_transform(transform, batch, "data.batch_augmentation")
        except BaseException as error:
            raise_from_dataset(error, f"{self.location}, samples {self._names(indices)}")
        if len(own) != len(indices):
            share = share_rows(batch["index"], request.rows, len(indices)) if loads_whole_batch else slice(0)
            batch = take_rows(batch, share)
        return batch

    def __len__(self) -> int:
        return len(self.dataset)

    def _load_identified(self, indices: list[int], request: BatchRequest) -> dict[str, Any]:
        """Return a batch with the `index` of each row, if that is known."""
        if self.adds_indices is None:
            self.adds_indices = self._keeps_batch_with_indices(indices, request)
        loaded = self._load(indices, request, self.adds_indices)
        if not self.may_change_rows:
            return {"index": np.asarray(indices, dtype=np.int64)} | loaded
        return identify_rows(loaded, len(indices), indices, self.is_training, self.location)

    def _keeps_batch_with_indices(self, indices: list[int], request: BatchRequest) -> bool:
        """Return whether `collate` returns the same batch if the samples contain their `index`; it may join entries."""
        expected = self._load(indices, request)
        try:
            return is_same_besides_index(self._load(indices, request, adds_indices=True), expected)
        except Exception:  # it takes no such samples
            return False

    def _load(self, indices: list[int], request: BatchRequest, adds_indices: bool = False) -> dict[str, Any]:
        self._set_epoch(request.epoch)
        first_row = request.rows.start if self.is_training else 0
        if self.has_getitems:
            seed_all(self.seed, self.path, BATCH, request.epoch, request.batch, first_row)
            batch = self.samples.load_batch(indices)
        else:
            seeds = derive_seeds(indices, self.seed, self.path, SAMPLE, request.epoch)
            batch = [self._load_sample(index, seed) for index, seed in zip(indices, seeds, strict=True)]
        if isinstance(batch, list):
            if adds_indices and len(batch) == len(indices):
                batch = add_indices(batch, indices)
            seed_all(self.seed, self.path, COLLATE, request.epoch, request.batch, first_row)
            loaded, batch = batch, self._collate(batch)
        else:
            loaded = batch
        require_dict(batch, loaded, self.location)
        return cast(dict[str, Any], batch)

    def _set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            seed_all(self.seed, self.path, EPOCH, epoch)
            self.samples.set_epoch(epoch)
            self.epoch = epoch

    def _load_sample(self, index: int, seed: int) -> Any:
        set_seed(seed)
        try:
            return self.samples.load(index)
        except Exception as error:
            if is_file_error(error):
                raise_from_dataset(error, f"{self.location}, sample {self._names([index])}")
            raise

    def _names(self, indices: list[int]) -> str:
        name_of = getattr(self.dataset, "name", None)
        return abbreviate(indices, name_of if callable(name_of) else str)

    def _collate(self, samples: list[Any]) -> Any:
        try:
            return call_collate(self.collate, samples)
        except RuntimeError as error:
            shapes = list(dict.fromkeys(describe_shapes(sample) for sample in samples if isinstance(sample, dict)))
            if self.collate is not default_collate or len(shapes) < 2:
                raise
            raise ConfigError(
                f"{self.location} has samples of different shapes: {shapes[0]}; {shapes[1]}\n"
                "Resize them, give the dataset a `collate`, or set data.batch_size to 1"
            ) from error


class BatchLoader(DataLoader[Any]):
    """Loader of a BatchDataset."""

    dataset: BatchDataset

    def __iter__(self) -> Iterator[Tensors]:  # type: ignore[override]  # the items of DataLoader's own are converted
        if self.num_workers or self.pin_memory:
            return map(index_to_tensor, receive(super().__iter__(), self.dataset.location))
        # DataLoader's own iterator records each batch for torch's profiler, which is slow for small batches.
        return map(index_to_tensor, map(self.dataset.__getitem__, self.sampler))


def build_loader(
    dataset: object,
    path: str,
    batch_size: int,
    seed: int,
    is_training: bool,
    rank: int = 0,
    world_size: int = 1,
    get_position: GetPosition = TrainingPosition,
    max_samples: int | None = None,
    is_limited: bool = False,
    transforms: Sequence[Transform] = (),
    **workers: Any,
) -> DataLoader[Any]:
    """Return a loader that loads this process's share of each batch; an iterable dataset is read in its own order.

    Args:
        dataset: the dataset.
        path: its config path.
        batch_size: samples of a batch, over all processes.
        seed: seed of the run.
        is_training: whether to shuffle, and to drop an incomplete last batch.
        rank: rank of this process.
        world_size: number of processes.
        get_position: returns the position in the training.
        max_samples: load only the first samples.
        is_limited: whether the trainer takes a fraction of the batches.
        transforms: transforms of this process's share of each batch.
        workers: further arguments of torch's DataLoader, such as `num_workers` and `pin_memory`.

    Raises:
        ConfigError: there are no samples, or fewer than one training batch.
    """
    if isinstance(dataset, IterableDataset):
        stream = Stream(dataset, path, seed, rank, is_training, transforms)
        if max_samples is not None:
            raise ConfigError(f"evaluation.max_samples does not work with {stream.location}, which is iterable")
        return _build_stream_loader(stream, batch_size, world_size, get_position, is_limited, workers)
    batches = BatchDataset(dataset, path, seed, is_training, transforms)
    if not hasattr(dataset, "__len__"):
        raise ConfigError(f"{batches.location} needs a method `__len__`, which returns the number of samples")
    with located(f"{batches.location}, while its samples were counted"):
        length = len(batches) if max_samples is None else min(max_samples, len(batches))
    if length == 0:
        raise ConfigError(f"{batches.location} has no samples")
    order = getattr(dataset, "order", None) if is_training else None
    sampler = ResumableBatchSampler(length, batch_size, seed, is_training, order, rank, world_size, get_position)
    if len(sampler) == 0:
        raise _too_few_samples(batch_size, batches.location, sampler.length)
    generator = torch.Generator().manual_seed(seed)  # else a loader with workers draws from the generator of the steps
    return BatchLoader(batches, batch_size=None, sampler=sampler, collate_fn=_identity, generator=generator, **workers)


def _build_stream_loader(
    stream: Stream,
    batch_size: int,
    world_size: int,
    get_position: GetPosition,
    is_limited: bool,
    workers: dict[str, Any],
) -> StreamLoader:
    if world_size > 1 and not stream.is_training:
        raise ConfigError(
            f"{stream.location} is iterable, and each of {world_size} processes would read all of it; evaluate with "
            "one process, or give the dataset `__len__` and `__getitem__`"
        )
    if not stream.is_training and not stream.is_sharded and workers.get("num_workers"):
        workers["num_workers"] = 1  # each would read all samples, and each sample would count several times
    workers |= {"batch_size": batch_size // world_size, "drop_last": stream.is_training}
    loader = StreamLoader(stream, get_position, counts_samples=not (stream.is_training or is_limited), **workers)
    if sized_len(loader) == 0:
        raise _too_few_samples(batch_size, stream.location, len(stream))
    return loader


def _too_few_samples(batch_size: int, location: str, length: int) -> ConfigError:
    return ConfigError(f"data.batch_size is {batch_size}, but {location} has {length} samples: not one whole batch")


def _identity(batch: _Batch) -> _Batch:
    return batch
