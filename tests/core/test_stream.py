from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from project.core.fetch import build_loader
from project.core.order import Place
from tests.conftest import Cli
from tests.core.random_rooms import NoisyStream
from tests.core.rooms import Stream


class Progress:
    """Where a training stands."""

    epoch = done = 0

    def __call__(self) -> Place:
        return Place(self.epoch, self.done, self.done)


class BrokenStream(Stream):
    """Fails at its third sample."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for index, sample in enumerate(super().__iter__()):
            yield sample if index < 2 else {"image": 1 / 0}  # type: ignore[dict-item]


def loader(workers: int, place: Progress) -> Any:
    return build_loader(NoisyStream(10), "data.train", 3, 0, True, position=place, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_it_goes_on_behind_the_batch_that_was_done(workers: int) -> None:
    place = Progress()
    first = loader(workers, place)
    batches, states = [], []
    for batch in first:  # a worker has fetched all of them by the time of the first
        place.done += 1
        batches.append(batch["image"])
        states.append(first.state_dict())
    assert len(batches) == 3
    for done in (1, 2):
        place = Progress()
        place.done = done
        second = loader(workers, place)
        second.load_state_dict(states[done - 1])
        rest = [batch["image"] for batch in second]
        assert len(rest) == 3 - done
        assert all(torch.equal(one, two) for one, two in zip(rest, batches[done:], strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_every_epoch_is_drawn_anew(workers: int) -> None:
    place = Progress()
    both = loader(workers, place)
    epochs = []
    for epoch in (0, 1, 0):
        place.epoch = epoch
        epochs.append(torch.cat([batch["image"] for batch in both]))
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])


def test_an_exception_names_the_sample() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(build_loader(BrokenStream(), "data.train", 1, 0, True))
    assert caught.value.__notes__ == ["raised in data.train (BrokenStream), sample 2"]


@pytest.mark.parametrize(
    ("stream", "workers", "says"),
    [
        ("rooms.Stream", "0", "data.train (Stream) is iterable and has no state_dict and load_state_dict"),
        ("random_rooms.NoisyStream", "2", "data.train (NoisyStream) is iterable and is read by several processes"),
        ("random_rooms.NoisyStream", "1", None),
    ],
)
def test_where_resuming_cannot_be_exact_it_is_said(
    stream: str, workers: str, says: str | None, cli: Cli, tiny: Callable[..., str]
) -> None:
    argv = ["--data.train", f"tests.core.{stream}", "--data.batch_size", "2", "--data.num_workers", workers]
    ran = cli("fit", "--config", tiny(), *argv)
    assert ran.code == 0, ran.err
    if says is None:
        assert "is iterable and" not in ran.err
    else:
        assert ran.err.count(f"{says}: a run resumed within an epoch is not exact") == 1
