"""Loading of iterable datasets, seeded sample by sample and resumed where a checkpoint was saved."""

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, default_collate, get_worker_info

from project.core.data.sampling import GetPosition
from project.core.data.seeding import STREAM, seed_all
from project.core.errors import add_location, located

State = dict[str, Any]
_NUM_READ, _DATASET = "taken", "dataset"  # stored in checkpoints: do not edit


class Stream(IterableDataset[Any]):
    """Samples of an iterable dataset, each drawn under a seed of its own.

    Args:
        dataset: the dataset.
        path: its config path, for messages and seeds.
        seed: seed of the run.
        rank: rank of this process.
    """

    def __init__(self, dataset: Any, path: str, seed: int, rank: int) -> None:
        self.dataset, self.path, self.seed, self.rank = dataset, path, seed, rank
        self.collate: Callable[[Any], Any] = getattr(dataset, "collate", default_collate)
        self.is_stateful = hasattr(dataset, "state_dict") and hasattr(dataset, "load_state_dict")
        self.epoch, self.num_read = 0, 0
        self._state: State | None = None

    def start_at(self, epoch: int, state: State | None) -> None:
        """Set the epoch and the state of the next iteration; without a state, the dataset decides where it starts."""
        self.epoch, self._state = epoch, state

    def __iter__(self) -> Iterator[Any]:
        self.num_read = 0
        if self._state is not None:
            self.num_read = self._state[_NUM_READ]
            self.dataset.load_state_dict(self._state[_DATASET])
        info = get_worker_info()
        worker = info.id if info else 0
        samples = iter(self.dataset)
        while True:
            seed_all(self.seed, self.path, STREAM, self.epoch, self.num_read, worker, self.rank)
            try:
                sample = next(samples)
            except StopIteration:
                return
            except Exception as error:
                add_location(error, f"{self.path} ({type(self.dataset).__name__}), sample {self.num_read}")
                raise
            self.num_read += 1
            yield sample

    def __len__(self) -> int:
        return len(self.dataset)

    def collate_with_state(self, samples: list[Any]) -> tuple[Any, State | None]:
        """Return the batch, and the state after its last sample."""
        state = {_NUM_READ: self.num_read, _DATASET: self.dataset.state_dict()} if self.is_stateful else None
        with located(f"{self.path} ({type(self.dataset).__name__}), while samples were collated"):
            return self.collate(samples), state


class StreamLoader(DataLoader[Any]):
    """Loader of a stream that continues after the last batch trained on, not after the last batch prefetched.

    It does so in a resumed run, and in the next epoch if an epoch ends before the stream.

    Args:
        stream: the stream.
        get_position: returns the position in the training.
        arguments: arguments of torch's DataLoader. Workers are restarted in each epoch, since they get the state when
            they start.
    """

    def __init__(self, stream: Stream, get_position: GetPosition, **arguments: Any) -> None:
        if arguments.get("num_workers"):
            arguments["persistent_workers"] = False
        super().__init__(stream, collate_fn=stream.collate_with_state, **arguments)
        self.stream, self.get_position = stream, get_position
        self._states: dict[int, State | None] = {}  # by the number of training batches done
        self._is_exhausted = False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # the items of DataLoader's own are unpacked
        position = self.get_position()
        state = None if self._is_exhausted else self._states.get(position.total)
        self.stream.start_at(position.epoch, state)
        self._is_exhausted = False
        self._states = {position.total: state}
        for number, (batch, reached) in enumerate(super().__iter__(), start=position.total + 1):
            done = self.get_position().total
            self._states = {old: kept for old, kept in self._states.items() if old >= done} | {number: reached}
            yield batch
        self._is_exhausted = True

    def state_dict(self) -> State:
        """Return the state of the stream after the last batch trained on; empty if the dataset has none."""
        return self._states.get(self.get_position().total) or {}

    def load_state_dict(self, state: State) -> None:
        """Continue from a state; called after the position in the training was restored."""
        self._states = {self.get_position().total: state or None}
        self._is_exhausted = False
