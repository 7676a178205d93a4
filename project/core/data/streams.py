"""Loading of iterable datasets, seeded sample by sample and resumed where a checkpoint was saved."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lightning_fabric.utilities.data import sized_len
from loguru import logger
from torch.utils.data import DataLoader, IterableDataset, default_collate, get_worker_info

from project.core.data.rows import call_collate, identify_rows, index_to_tensor, require_dict
from project.core.data.sampling import GetPosition, TrainingPosition
from project.core.data.seeding import BATCH_AUGMENTATION, EPOCH, STREAM, seed_all
from project.core.data.tensors import apply_transform
from project.core.data.workers import raise_from_dataset, receive
from project.core.errors import ConfigError
from project.registry import Transform

State = dict[str, Any]
_NUM_READ, _DATASET = "taken", "dataset"  # stored in checkpoints: do not edit


class Stream(IterableDataset[Any]):
    """Samples of an iterable dataset, each drawn under a seed of its own.

    Each process and each of its workers reads all samples, unless the dataset divides them. The engine cannot see
    that, so such a dataset says it: `is_sharded = True`.

    Args:
        dataset: the dataset.
        path: its config path, for messages and seeds.
        seed: seed of the run.
        rank: rank of this process.
        is_training: whether it is the training set.
        transforms: transforms of each batch, drawn under a seed of its own.
    """

    def __init__(
        self,
        dataset: Any,
        path: str,
        seed: int,
        rank: int,
        is_training: bool,
        transforms: Sequence[Transform] = (),
    ) -> None:
        self.dataset, self.path, self.seed, self.rank, self.is_training = dataset, path, seed, rank, is_training
        self.transforms = transforms
        self.collate: Callable[[Any], Any] = getattr(dataset, "collate", default_collate)
        self.is_sharded: bool = getattr(dataset, "is_sharded", False)
        self.is_stateful = hasattr(dataset, "state_dict") and hasattr(dataset, "load_state_dict")
        self.location = f"{path} ({type(dataset).__name__})"
        self.epoch, self.num_read = 0, 0
        self._state: State | None = None

    def start_at(self, epoch: int, state: State | None) -> None:
        """Set the epoch and the state of the next iteration; without a state, the dataset decides where it starts."""
        self.epoch, self._state = epoch, state

    def __iter__(self) -> Iterator[Any]:
        self.num_read = 0
        if hasattr(self.dataset, "set_epoch"):
            seed_all(self.seed, self.path, EPOCH, self.epoch)
            self.dataset.set_epoch(self.epoch)
        if self._state is not None:
            self.num_read = self._state[_NUM_READ]
            self.dataset.load_state_dict(self._state[_DATASET])
        info = get_worker_info()
        worker = info.id if info else 0
        try:
            samples = iter(self.dataset)
        except BaseException as error:
            raise_from_dataset(error, f"{self.location}, in `__iter__`")
        while True:
            seed_all(self.seed, self.path, STREAM, self.epoch, self.num_read, worker, self.rank)
            try:
                sample = next(samples)
            except StopIteration:
                return
            except BaseException as error:
                raise_from_dataset(error, f"{self.location}, sample {self.num_read}")
            self.num_read += 1
            yield sample

    def __len__(self) -> int:
        return len(self.dataset)

    def collate_with_state(self, samples: list[Any]) -> tuple[Any, State | None, int]:
        """Return the batch, the state after its last sample, and the number of samples."""
        state = {_NUM_READ: self.num_read, _DATASET: self.dataset.state_dict()} if self.is_stateful else None
        try:
            batch = call_collate(self.collate, samples)
        except BaseException as error:
            raise_from_dataset(error, f"{self.location}, while samples were collated")
        require_dict(batch, samples, self.location)
        if self.collate is not default_collate:
            batch = identify_rows(batch, len(samples), None, self.is_training, self.location)
        if self.transforms:
            batch = self._transform(batch)
        return batch, state, len(samples)

    def _transform(self, batch: dict[str, Any]) -> dict[str, Any]:
        worker = info.id if (info := get_worker_info()) else 0
        seed_all(self.seed, self.path, BATCH_AUGMENTATION, self.epoch, self.num_read, worker, self.rank)
        try:
            for transform in self.transforms:
                batch = apply_transform(transform, batch, "data.batch_augmentation")
        except BaseException as error:
            raise_from_dataset(error, self.location)
        return batch


class StreamLoader(DataLoader[Any]):
    """Loader of a stream that continues after the last batch trained on, not after the last batch prefetched.

    It does so in a resumed run, and in the next epoch if an epoch ends before the stream. If nothing is left, the
    stream starts again.

    Args:
        stream: the stream.
        get_position: returns the position in the training.
        counts_samples: whether to read as many samples as the dataset announces, in any number of batches. The loader
            then has no length: workers, each of which has an incomplete last batch, have more batches.
        arguments: arguments of torch's DataLoader. Workers are restarted in each epoch, since they get the state when
            they start.

    Raises:
        ConfigError: in an iteration, an evaluation has no samples.
    """

    def __init__(
        self, stream: Stream, get_position: GetPosition, counts_samples: bool = False, **arguments: Any
    ) -> None:
        if arguments.get("num_workers"):
            arguments["persistent_workers"] = False
        super().__init__(stream, collate_fn=stream.collate_with_state, **arguments)
        self.stream, self.get_position, self.counts_samples = stream, get_position, counts_samples
        self._states: dict[int, State | None] = {}  # by the number of training batches done
        self._is_exhausted = False

    def __len__(self) -> int:
        if self.counts_samples:
            raise TypeError("the number of batches is not known before the last one")
        return super().__len__()

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # the items of DataLoader's own are unpacked
        position, number = self.get_position(), 0
        state = None if self._is_exhausted else self._states.get(position.total)
        for number, batch in enumerate(self._read(position, state), start=1):  # noqa: B007
            yield batch
        if number == 0 and state is not None and position.batch == 0:
            yield from self._read(position, None)
        elif number == 0 and not self.drop_last:
            raise ConfigError(f"{self.stream.location} has no samples")

    def _read(self, position: TrainingPosition, state: State | None) -> Iterator[Any]:
        """Yield the batches from a state on, and keep the states from which a resumed run could continue."""
        self.stream.start_at(position.epoch, state)
        self._is_exhausted = False
        self._states = {position.total: state}
        batches, num_samples = receive(super().__iter__(), self.stream.location), 0
        length = sized_len(self.stream) if self.counts_samples else None
        for number, (batch, reached, count) in enumerate(batches, start=1):
            done = self.get_position().total
            kept = {old: kept for old, kept in self._states.items() if old >= done}
            self._states = kept | {position.total + number: reached}
            yield index_to_tensor(batch)
            num_samples += count
            if length is not None and num_samples >= length:
                if next(batches, None) is not None:
                    logger.warning(f"{self.stream.location} has more than its {length} samples: the rest is not used")
                return
        self._is_exhausted = True

    def state_dict(self) -> State:
        """Return the state of the stream after the last batch trained on; empty if the dataset has none."""
        return self._states.get(self.get_position().total) or {}

    def load_state_dict(self, state: State) -> None:
        """Continue from a state; called after the position in the training was restored."""
        self._states = {self.get_position().total: state or None}
        self._is_exhausted = False
