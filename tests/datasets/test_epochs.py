"""A dataset that wants the epoch gets it, also in workers that live on."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import IterableDataset

from project.core.data.loading import build_loader
from project.core.data.sampling import TrainingPosition
from project.core.data.training_samples import TrainingSamples


class Argument:
    """Dataset whose samples are the epoch."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int, epoch: int) -> dict[str, Any]:
        return {"epoch": torch.tensor(epoch)}


class BatchArgument(Argument):
    """The same by batch."""

    def __getitems__(self, indices: list[int], epoch: int) -> dict[str, Any]:
        return {"epoch": torch.full((len(indices),), epoch)}


class Method:
    """Dataset that is told the epoch, and draws a number then."""

    epoch, drawn = -1, -1.0

    def __len__(self) -> int:
        return 4

    def set_epoch(self, epoch: int) -> None:
        self.epoch, self.drawn = epoch, random.random()

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"epoch": torch.tensor(self.epoch), "drawn": torch.tensor(self.drawn)}


class Streamed(IterableDataset[Any]):
    """Iterable dataset that is told the epoch."""

    epoch = -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        yield from ({"epoch": torch.tensor(self.epoch)} for _ in range(4))


MAKE = {
    "argument": Argument,
    "argument of a batch": BatchArgument,
    "method": Method,
    "iterable": Streamed,
}


def read(dataset: Any, positions: list[TrainingPosition], workers: int = 0) -> list[Any]:
    """Return the batches from some positions on, of a loader whose workers live on."""
    options: dict[str, Any] = {"num_workers": workers, "persistent_workers": True} if workers else {}
    now = {"position": positions[0]}
    loader = build_loader(dataset, "here", 2, 0, True, get_position=lambda: now["position"], **options)
    return [list(loader) for position in positions if now.update(position=position) is None]


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())
def test_samples_get_the_epoch_of_the_training(make: Any) -> None:
    positions = [TrainingPosition(0), TrainingPosition(1, 0, 2), TrainingPosition(5, 0, 10)]
    found = [[batch["epoch"].unique().tolist() for batch in batches] for batches in read(make(), positions)]
    assert found == [[[0], [0]], [[1], [1]], [[5], [5]]]


def test_evaluation_has_epoch_0() -> None:
    """An evaluation does not depend on when it is done."""
    for dataset in (Argument(), Method(), Streamed()):
        (batch,) = build_loader(dataset, "here", 4, seed=0, is_training=False)
        assert batch["epoch"].unique().tolist() == [0]


def test_components_are_fitted_to_the_samples_of_epoch_0() -> None:
    loader = build_loader(Method(), "data.train", 4, seed=0, is_training=True)
    for sample in TrainingSamples(Method(), seed=0):
        assert sample["epoch"] == 0
        assert sample["drawn"] == next(iter(loader))["drawn"][0]


def test_worker_that_lives_on_draws_what_a_resumed_run_draws() -> None:
    """Within an epoch, where the resumed run's worker sees that epoch first."""
    whole = read(Method(), [TrainingPosition(0), TrainingPosition(1, 0, 2)], workers=1)
    ((resumed,),) = read(Method(), [TrainingPosition(1, 1, 3)])
    assert [batch["epoch"].tolist() for batch in whole[1]] == [[1, 1], [1, 1]]
    assert torch.equal(whole[1][1]["drawn"], resumed["drawn"])
    assert not torch.equal(whole[0][1]["drawn"], resumed["drawn"])
