"""Order of the samples, computed from seed, epoch and batch, without state."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import SequentialSampler

from project.core.data.seeding import ORDER, derive_seed, splitmix64

OrderFunction = Callable[[int, int], list[int]]
_CHUNK = 4096  # indices that are computed at a time
_ROUNDS = 12  # with 8, permutations of ten values and fewer are visibly biased
Indices = NDArray[np.int64]
Bits = NDArray[np.uint64]


class TrainingPosition(NamedTuple):
    """Position in a training.

    Args:
        epoch: epoch, from 0.
        batch: number of batches of the epoch that are done.
        total: number of batches of all epochs that are done.
    """

    epoch: int = 0
    batch: int = 0
    total: int = 0


GetPosition = Callable[[], TrainingPosition]  # the class itself: the start of a training, or outside training


class Permutation:
    """Permutation of `range(length)`, computed index by index in constant memory.

    An alternating Feistel network over pairs (Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002,
    generalized Feistel), applied again to values outside the range.

    Args:
        length: number of values.
        key: key of the permutation, in [0, 2**63).

    Example::

        Permutation(10, key=3)(np.arange(10))  # the numbers 0 to 9 in another order
    """

    def __init__(self, length: int, key: int) -> None:
        self.length = length
        self.rows = max(1, int(np.ceil(np.sqrt(length))))
        self.columns = -(-length // self.rows)
        self.keys = [np.uint64(derive_seed(key, number)) for number in range(_ROUNDS)]

    def __call__(self, indices: Indices) -> Indices:
        """Return the values at these indices."""
        values = self._permute(indices.astype(np.uint64))
        while (outside := values >= self.length).any():
            values[outside] = self._permute(values[outside])
        return values.astype(np.int64)

    def _permute(self, values: Bits) -> Bits:
        rows, columns = np.uint64(self.rows), np.uint64(self.columns)
        left, right = values // columns, values % columns
        for number, key in enumerate(self.keys):
            if number % 2:
                left = (left + splitmix64(right ^ key) % rows) % rows
            else:
                right = (right + splitmix64(left ^ key) % columns) % columns
        return left * columns + right


class BatchRequest(NamedTuple):
    """A batch to load.

    Args:
        indices: indices of the samples of all processes.
        rows: slice of `indices` that this process loads.
        epoch: epoch, for the seeds; 0 outside training.
        batch: number of the batch in its epoch.
    """

    indices: list[int]
    rows: slice
    epoch: int
    batch: int


class ResumableBatchSampler(SequentialSampler):
    """Batch sampler that can start at any batch of an epoch.

    Training shuffles and drops an incomplete last batch; evaluation does neither. The samples of a batch do not depend
    on the number of processes, whose shares of a batch differ by at most one sample. The base class keeps Lightning's
    `overfit_batches` from replacing the sampler.

    Args:
        length: number of samples.
        batch_size: samples of a batch, over all processes.
        seed: seed of the run.
        is_training: whether to shuffle and drop.
        order: `order(seed, epoch) -> indices` of the dataset, which replaces shuffling.
        rank: rank of this process.
        world_size: number of processes.
        get_position: returns the position in the training, at the start of each iteration.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        is_training: bool,
        order: OrderFunction | None = None,
        rank: int = 0,
        world_size: int = 1,
        get_position: GetPosition = TrainingPosition,
    ) -> None:
        self.batch_size, self.seed, self.is_training = batch_size, seed, is_training
        self.order, self.get_position = order, get_position
        self.length = len(order(seed, 0)) if order is not None and is_training else length
        start, end = (-(-number * batch_size // world_size) for number in (rank, rank + 1))  # rank 0 has no fewer
        self.rows = slice(start, end)

    def __len__(self) -> int:
        return self._num_batches(self.length)

    @property
    def has_exact_length(self) -> bool:
        """Whether all epochs have the announced number of batches; the `order` of a dataset may have fewer in some."""
        return self.order is None or not self.is_training

    def __iter__(self) -> Iterator[BatchRequest]:  # type: ignore[override]  # BatchDataset takes these, not indices
        position = self.get_position()
        values_at, length = self._epoch_order(position.epoch)
        count, step = self._num_batches(length), max(1, _CHUNK // self.batch_size)
        for start in range(position.batch, count, step):
            chunk = np.arange(start * self.batch_size, min((start + step) * self.batch_size, length))
            indices = values_at(chunk).tolist()
            for number in range(start, min(start + step, count)):
                offset = (number - start) * self.batch_size
                yield BatchRequest(indices[offset : offset + self.batch_size], self.rows, position.epoch, number)

    def _num_batches(self, length: int) -> int:
        return length // self.batch_size if self.is_training else -(-length // self.batch_size)

    def _epoch_order(self, epoch: int) -> tuple[Callable[[Indices], Indices], int]:
        """Return a function from indices to the samples of the epoch, and the number of samples."""
        if not self.is_training:
            return lambda indices: indices, self.length
        if self.order is not None:
            order = np.asarray(self.order(self.seed, epoch))
            return order.__getitem__, len(order)
        return Permutation(self.length, derive_seed(self.seed, ORDER, epoch)), self.length
