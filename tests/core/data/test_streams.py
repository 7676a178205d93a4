"""Streams are seeded sample by sample, and continue after the last batch trained on."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from project.core.data.loading import build_loader
from project.core.data.sampling import TrainingPosition
from project.core.data.streams import Stream, StreamLoader
from tests.conftest import Cli
from tests.core.components import IndexStream
from tests.core.random_components import NoisyStream


@dataclass
class Training:
    """Position in a training, which the test moves."""

    epoch: int = 0
    done: int = 0

    def __call__(self) -> TrainingPosition:
        return TrainingPosition(self.epoch, self.done, self.done)


class BrokenStream(IndexStream):
    """Stream that fails at its third sample."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for index, sample in enumerate(super().__iter__()):
            if index == 2:
                raise ZeroDivisionError("on purpose")
            yield sample


class RandomNumbers(IndexStream):
    """Stream of random numbers."""

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.length):
            yield random.random()


def stream_loader(workers: int, training: Training) -> StreamLoader:
    """Return a loader of three batches of three samples."""
    loader = build_loader(NoisyStream(10), "data.train", 3, 0, True, get_position=training, num_workers=workers)
    assert isinstance(loader, StreamLoader)
    return loader


@pytest.mark.parametrize("workers", [0, 1])
def test_resumed_stream_continues_after_the_last_batch_trained_on(workers: int) -> None:
    training = Training()
    first = stream_loader(workers, training)
    batches, states = [], []
    for batch in first:  # a worker has loaded all batches when the first one arrives
        training.done += 1
        batches.append(batch["image"])
        states.append(first.state_dict())
    assert len(batches) == 3
    for done in (1, 2):
        second = stream_loader(workers, Training(done=done))
        second.load_state_dict(states[done - 1])
        rest = [batch["image"] for batch in second]
        assert len(rest) == 3 - done
        assert all(torch.equal(one, two) for one, two in zip(rest, batches[done:], strict=True))


def test_state_keeps_the_names_that_checkpoints_contain() -> None:
    training = Training()
    loader = stream_loader(0, training)
    next(iter(loader))
    training.done = 1
    assert loader.state_dict() == {"taken": 3, "dataset": {"next": 3}}


def test_stream_without_state_has_an_empty_state() -> None:
    training = Training()
    loader = build_loader(IndexStream(10), "data.train", 3, 0, True, get_position=training)
    assert isinstance(loader, StreamLoader)
    next(iter(loader))
    training.done = 1
    assert loader.state_dict() == {}


@pytest.mark.parametrize("workers", [0, 1])
def test_next_epoch_continues_a_stream_that_was_not_read_to_its_end(workers: int) -> None:
    training = Training()
    loader = stream_loader(workers, training)
    next(iter(loader))
    training.epoch, training.done = 1, 1
    labels = [batch["label"].tolist() for batch in loader]
    assert labels == [[4, 5, 6], [7, 8, 9]]
    training.epoch, training.done = 2, 3
    assert next(iter(loader))["label"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("workers", [0, 1])
def test_random_numbers_depend_on_the_epoch(workers: int) -> None:
    training = Training()
    loader = stream_loader(workers, training)
    epochs = []
    for epoch in (0, 1, 0):
        training.epoch = epoch
        epochs.append(torch.cat([batch["image"] for batch in loader]))
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])


def test_random_numbers_never_change() -> None:
    """A run resumed by a later version must continue with the numbers that it would have drawn."""
    stream = Stream(RandomNumbers(3), "data.train", seed=0, rank=0)
    stream.start_at(2, None)
    assert list(stream) == [0.9711277910390921, 0.07767884551660709, 0.39656007957736683]


def test_error_names_the_sample() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(build_loader(BrokenStream(), "data.train", 1, 0, True))
    assert caught.value.__notes__ == ["raised in data.train (BrokenStream), sample 2"]


@pytest.mark.parametrize(
    ("stream", "workers", "problem"),
    [
        ("components.IndexStream", "0", "has no state_dict and load_state_dict"),
        ("random_components.NoisyStream", "2", "is read by several processes"),
        ("random_components.NoisyStream", "1", None),
    ],
)
def test_stream_that_cannot_be_resumed_exactly_is_warned_of_once(
    stream: str, workers: str, problem: str | None, cli: Cli, tiny: Callable[..., str]
) -> None:
    argv = ["--data.train", f"tests.core.{stream}", "--data.batch_size", "2", "--data.num_workers", workers]
    ran = cli("fit", "--config", tiny(), *argv)
    assert ran.code == 0, ran.err
    name = stream.rpartition(".")[2]
    warning = f"data.train ({name}) is iterable and {problem}: resuming within an epoch is not exact"
    assert ran.err.count(warning) == (problem is not None)
    assert ran.err.count("is iterable and") == (problem is not None)
