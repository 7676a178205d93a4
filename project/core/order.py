"""The order of the samples, and which of them a process gets in a step."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import SequentialSampler

from project.core.randomness import derive, mix

OrderFunction = Callable[[int, int], list[int]]
_CHUNK = 4096  # places computed at a time
_ROUNDS = 12  # with eight, ranges of ten and fewer are visibly biased
Places = NDArray[np.int64]
Bits = NDArray[np.uint64]


class Place(NamedTuple):
    """Where training stands.

    Args:
        epoch: from 0.
        batch: the batches of the epoch that are done.
        total: the batches of all epochs that are done.
    """

    epoch: int = 0
    batch: int = 0
    total: int = 0


Position = Callable[[], Place]  # Place itself is that of a run that begins, and of every pass outside training


class Permutation:
    """A permutation of range(length), computed place by place: it needs no memory, and its start costs nothing.

    An alternating Feistel network over pairs (Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002,
    generalized Feistel); where it leaves the range it is applied again.

    Args:
        length: how many there are.
        key: which permutation, in [0, 2**63).
    """

    def __init__(self, length: int, key: int) -> None:
        self.length = length
        self.rows = max(1, int(np.ceil(np.sqrt(length))))
        self.columns = -(-length // self.rows)
        self.keys = [np.uint64(derive(key, number)) for number in range(_ROUNDS)]

    def __call__(self, places: Places) -> Places:
        """What stands at these places."""
        values = self._shuffle(places.astype(np.uint64))
        while (outside := values >= self.length).any():
            values[outside] = self._shuffle(values[outside])
        return values.astype(np.int64)

    def _shuffle(self, values: Bits) -> Bits:
        rows, columns = np.uint64(self.rows), np.uint64(self.columns)
        left, right = values // columns, values % columns
        for number, key in enumerate(self.keys):
            if number % 2:
                left = (left + mix(right ^ key) % rows) % rows
            else:
                right = (right + mix(left ^ key) % columns) % columns
        return left * columns + right


class Request(NamedTuple):
    """A batch to fetch.

    Args:
        indices: the samples of all processes together.
        rows: which of them are this process's.
        epoch: for the seeds; 0 outside training.
        batch: the batch's number in its epoch.
    """

    indices: list[int]
    rows: slice
    epoch: int
    batch: int


class Batches(SequentialSampler):
    """The batches of an epoch: shuffled and without an incomplete last one in training, else in order and complete.

    The samples of a step depend neither on the number of processes nor on what came before. Lightning's
    `overfit_batches` leaves a sequential sampler as it is.

    Args:
        length: number of samples.
        batch_size: samples of a batch, of all processes together.
        seed: the run's seed.
        shuffle: whether this is training.
        order: a dataset's own `order(seed, epoch) -> indices`.
        share: this process's number, and how many there are.
        position: where training stands, asked at the start of each iteration.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        shuffle: bool,
        order: OrderFunction | None = None,
        share: tuple[int, int] = (0, 1),
        position: Position = Place,
    ) -> None:
        self.batch_size, self.seed, self.shuffle, self.order, self.position = batch_size, seed, shuffle, order, position
        self.length = len(order(seed, 0)) if order is not None and shuffle else length
        local = batch_size // share[1]
        self.rows = slice(share[0] * local, (share[0] + 1) * local)

    def __len__(self) -> int:
        return self._batches(self.length)

    def __iter__(self) -> Iterator[Request]:  # type: ignore[override]  # an item is what Fetch takes
        place = self.position()
        at, length = self._order(place.epoch)
        count, step = self._batches(length), max(1, _CHUNK // self.batch_size)
        for start in range(place.batch, count, step):
            places = np.arange(start * self.batch_size, min((start + step) * self.batch_size, length))
            indices = at(places).tolist()
            for number in range(start, min(start + step, count)):
                offset = (number - start) * self.batch_size
                yield Request(indices[offset : offset + self.batch_size], self.rows, place.epoch, number)

    def _batches(self, length: int) -> int:
        return length // self.batch_size if self.shuffle else -(-length // self.batch_size)

    def _order(self, epoch: int) -> tuple[Callable[[Places], Places], int]:
        """What stands at places of the epoch, and how many there are."""
        if not self.shuffle:
            return lambda places: places, self.length
        if self.order is not None:
            order = np.asarray(self.order(self.seed, epoch))
            return order.__getitem__, len(order)
        return Permutation(self.length, derive(self.seed, "order", epoch)), self.length
