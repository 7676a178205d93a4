"""Iterable datasets: seeded sample by sample, and read on from where a checkpoint left them."""

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, default_collate, get_worker_info

from project.core.errors import note_where, noting_where
from project.core.order import Position
from project.core.randomness import seed_all

State = dict[str, Any]


class Stream(IterableDataset[Any]):
    """Yields what an iterable dataset yields, each sample fetched under a seed of its own.

    Args:
        dataset: the dataset.
        where: its place in the yaml, for messages and seeds.
        seed: the run's seed.
        rank: this process's number.
    """

    def __init__(self, dataset: Any, where: str, seed: int, rank: int) -> None:
        self.dataset, self.place, self.seed, self.rank = dataset, where, seed, rank
        self.collate: Callable[[Any], Any] = getattr(dataset, "collate", default_collate)
        self.stateful = hasattr(dataset, "state_dict") and hasattr(dataset, "load_state_dict")
        self.epoch, self.taken = 0, 0
        self._state: State | None = None

    def start_at(self, epoch: int, state: State | None) -> None:
        """What the next iteration begins with; without a state it is left to the dataset where that is."""
        self.epoch, self._state = epoch, state

    def __iter__(self) -> Iterator[Any]:
        self.taken = 0
        if self._state is not None:
            self.taken = self._state["taken"]
            self.dataset.load_state_dict(self._state["dataset"])
        info = get_worker_info()
        worker = info.id if info else 0
        samples = iter(self.dataset)
        while True:
            seed_all(self.seed, self.place, "stream", self.epoch, self.taken, worker, self.rank)
            try:
                sample = next(samples)
            except StopIteration:
                return
            except Exception as error:
                note_where(error, f"{self.place} ({type(self.dataset).__name__}), sample {self.taken}")
                raise
            self.taken += 1
            yield sample

    def __len__(self) -> int:
        return len(self.dataset)

    def collate_with_state(self, samples: list[Any]) -> tuple[Any, State | None]:
        """The batch, and the state behind its last sample."""
        state = {"taken": self.taken, "dataset": self.dataset.state_dict()} if self.stateful else None
        with noting_where(f"{self.place} ({type(self.dataset).__name__}), while samples were collated"):
            return self.collate(samples), state


class StreamLoader(DataLoader[Any]):
    """A loader of a stream, which goes on behind the last batch trained on, however many were fetched ahead.

    That is so in a resumed run, and in the next epoch where the one before ended within the stream.

    Args:
        stream: the stream.
        position: where training stands.
        arguments: of torch's DataLoader; workers begin anew in each epoch, since they get the state when they begin.
    """

    def __init__(self, stream: Stream, position: Position, **arguments: Any) -> None:
        if arguments.get("num_workers"):
            arguments["persistent_workers"] = False
        super().__init__(stream, collate_fn=stream.collate_with_state, **arguments)
        self.stream, self.position = stream, position
        self._states: dict[int, State | None] = {}  # by the batches that the run has behind it then
        self._exhausted = False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # DataLoader's own is wrapped
        position = self.position()
        state = None if self._exhausted else self._states.get(position.total)
        self.stream.start_at(position.epoch, state)
        self._exhausted = False
        self._states = {position.total: state}
        for number, (batch, reached) in enumerate(super().__iter__(), start=position.total + 1):
            done = self.position().total
            self._states = {old: kept for old, kept in self._states.items() if old >= done} | {number: reached}
            yield batch
        self._exhausted = True

    def state_dict(self) -> State:
        """The stream's state, empty where it has none."""
        return self._states.get(self.position().total) or {}

    def load_state_dict(self, state: State) -> None:
        """Goes on from a state, once training stands where it was saved."""
        self._states = {self.position().total: state or None}
        self._exhausted = False
