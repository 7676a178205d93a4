"""Batches are loaded by sample or at once, seeded by sample and epoch, and divided among ranks."""

import random
import traceback
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from project.core.data.loading import BatchDataset, build_loader
from project.core.data.sampling import BatchRequest, TrainingPosition
from project.core.data.tensors import abbreviate
from project.core.errors import ConfigError, error_location
from project.transforms.base import Transform
from tests.core.components import BrokenDataset, CustomCollateAndOrder, IndexImages, IndexStream, NamedSamples
from tests.core.random_components import Noisy, NoisyBatches


class BareTensors(Dataset[Tensor]):
    """Dataset whose samples are no dicts."""

    def __getitem__(self, index: int) -> Tensor:
        return torch.zeros(1)

    def __len__(self) -> int:
        return 1


class BatchesOnly(IndexImages):
    """Dataset that counts the calls of `__getitems__`, and whose `__getitem__` fails."""

    calls = 0

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        self.calls += 1
        return {"image": torch.tensor(indices)[:, None, None, None] * torch.ones(1, 8, 8)}

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        raise AssertionError("loaded by sample")


class BatchNumbers(IndexImages):
    """Dataset of random numbers, with `__getitems__` that returns a list of samples."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"number": random.random()}

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        return [self[index] for index in indices]


class CollateNumber(IndexImages):
    """Dataset with a random `collate`."""

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Any]:
        return {"number": random.random()}


class SampleNumbers(IndexImages):
    """Dataset of random numbers."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"number": random.random()}


class Exhausted(IndexImages):
    """Dataset that raises StopIteration from index 4 on."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return next(iter([super().__getitem__(index)] if index < 4 else []))


class Widening(IndexImages):
    """Dataset whose images become wider with the index."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.zeros(1, 8, 8 + index)}


def load_batch(
    dataset: Any, indices: list[int], is_training: bool = True, rows: slice = slice(0, 99), epoch: int = 0
) -> Any:
    """Return one batch, by default of one process."""
    return BatchDataset(dataset, "data.train", 0, is_training)[BatchRequest(indices, rows, epoch, 0)]


def test_loading_by_sample_and_at_once_agree() -> None:
    at_once = BatchesOnly()
    first, second = load_batch(IndexImages(), [3, 1]), load_batch(at_once, [3, 1])
    assert first["index"].tolist() == second["index"].tolist() == [3, 1]
    assert torch.equal(first["image"], second["image"])
    assert at_once.calls == 1


def test_collate_of_the_dataset_is_used() -> None:
    assert load_batch(CustomCollateAndOrder(), [1, 2, 3])["size"].tolist() == [3, 3, 3]


def test_sample_must_be_a_dict() -> None:
    with pytest.raises(ConfigError) as caught:
        load_batch(BareTensors(), [0])
    assert str(caught.value) == (
        "data.train (BareTensors) yields a Tensor; a sample must be a dict of named tensors\n"
        'Let the dataset return a dict, such as {"image": image, "label": label}'
    )


def test_sample_may_not_be_a_tuple() -> None:
    """torch's own collate makes a list of tuples; a stream is checked likewise."""

    class Pairs(IndexImages):
        def __getitem__(self, index: int) -> Any:
            return torch.zeros(1), index

    class PairStream(IndexStream):
        def __iter__(self) -> Any:
            yield torch.zeros(1), 0

    with pytest.raises(ConfigError, match=r"^data\.train \(Pairs\) yields a tuple; a sample must be a dict"):
        load_batch(Pairs(), [0])
    with pytest.raises(ConfigError, match=r"^data\.train \(PairStream\) yields a tuple; a sample must be a dict"):
        next(iter(build_loader(PairStream(1), "data.train", 1, 0, False)))


def test_samples_of_different_shapes_are_an_error_with_remedies() -> None:
    with pytest.raises(ConfigError) as caught:
        load_batch(Widening(), [0, 2])
    assert str(caught.value) == (
        "data.train (Widening) has samples of different shapes: image (1, 8, 8) float32; image (1, 8, 10) float32\n"
        "Resize them, give the dataset a `collate`, or set data.batch_size to 1"
    )
    assert load_batch(Widening(), [2])["image"].shape == (1, 1, 8, 10)


def test_error_names_the_samples() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        load_batch(BrokenDataset(), [4, 2])
    assert caught.value.__notes__ == ["raised in data.train (BrokenDataset), samples 4, 2"]
    assert abbreviate(list(range(9))) == "0, 1, 2, 3, 4, 5, 6, 7, ..."
    assert abbreviate([4, 3], NamedSamples().name) == "even/4, odd/3"


@pytest.mark.parametrize("workers", [0, 1])
def test_stop_iteration_in_a_dataset_does_not_end_the_epoch_silently(workers: int) -> None:
    loader = build_loader(Exhausted(), "data.train", 2, seed=0, is_training=False, num_workers=workers)
    with pytest.raises(RuntimeError, match="StopIteration was raised, which would end the epoch silently") as caught:
        list(loader)
    assert error_location(caught.value) == "raised in data.train (Exhausted), samples 4, 5"
    traceback.clear_frames(caught.tb)  # ends the worker now: the garbage collector would wait 5 s for it later


@pytest.mark.parametrize("dataset", [Noisy(), NoisyBatches()])
def test_random_numbers_depend_on_sample_and_epoch(dataset: Any) -> None:
    torch.manual_seed(1)
    first = load_batch(dataset, [3, 1])["image"]
    torch.manual_seed(2)
    assert torch.equal(load_batch(dataset, [3, 1])["image"], first)
    assert not torch.equal(load_batch(dataset, [3, 1], epoch=1)["image"], first)
    assert not torch.equal(load_batch(dataset, [4, 1])["image"], first) or isinstance(dataset, NoisyBatches)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (SampleNumbers(), [0.7496465358409777, 0.015396854054955944]),
        (BatchNumbers(), [0.4405302229952288, 0.18556712427685373]),
        (CollateNumber(), 0.04719159731682421),
    ],
)
def test_random_numbers_never_change(dataset: Any, expected: list[float] | float) -> None:
    """A run resumed by a later version must continue with the numbers that it would have drawn."""
    batch = BatchDataset(dataset, "data.train", 0, True)[BatchRequest([4, 2], slice(0, 2), 1, 3)]
    assert torch.as_tensor(batch["number"]).tolist() == pytest.approx(expected, abs=1e-9)


class RandomNumber(Transform):
    """Transform that adds a random number to a batch."""

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        return sample | {"drawn": random.random()}


def test_transforms_of_batches_draw_under_the_seed_of_the_batch() -> None:
    """Not of its samples, nor what these draw; each process has a seed of its own. The numbers never change."""

    def draw(dataset: Any, rank: int = 0, epoch: int = 1, batch: int = 3) -> float:
        batches = BatchDataset(dataset, "data.train", 0, True, [RandomNumber()])
        drawn: float = batches[BatchRequest([4, 2, 1, 0], slice(2 * rank, 2 * rank + 2), epoch, batch)]["drawn"]
        return drawn

    first = draw(SampleNumbers())
    assert first == draw(BatchNumbers()) == draw(Noisy()) == pytest.approx(0.9117053951190837, abs=1e-9)
    assert len({first, draw(Noisy(), rank=1), draw(Noisy(), epoch=2), draw(Noisy(), batch=4)}) == 4


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("dataset", [Noisy(), NoisyBatches(), CustomCollateAndOrder()])
@pytest.mark.parametrize("count", [6, 5, 2, 1])
def test_rows_of_all_ranks_are_the_batch_of_one_process(count: int, dataset: Any, is_training: bool) -> None:
    """They are equal to the last bit, except for training batches that are loaded in one call."""
    indices = [7, 2, 9, 4, 0, 3][:count]
    whole = load_batch(dataset, indices, is_training)
    shares = [load_batch(dataset, indices, is_training, slice(2 * rank, 2 * rank + 2)) for rank in range(3)]
    assert [index for share in shares for index in share["index"]] == indices
    for name in ("image", "label"):
        if not (is_training and isinstance(dataset, NoisyBatches)):
            assert torch.equal(torch.cat([share[name] for share in shares]), whole[name])
        assert all(share[name].shape[1:] == whole[name].shape[1:] for share in shares)


@pytest.mark.parametrize("workers", [0, 2])
def test_training_is_shuffled_differently_in_each_epoch(workers: int) -> None:
    epoch = 0
    loader = build_loader(
        *(IndexImages(10), "data.train", 4, 0, True),
        get_position=lambda: TrainingPosition(epoch, 0),
        num_workers=workers,
    )
    batches = [batch["index"].tolist() for batch in loader]
    assert all(isinstance(value, Tensor) for batch in loader for value in batch.values())
    assert [len(batch) for batch in batches] == [4, 4]
    assert batches == [batch["index"].tolist() for batch in loader]
    epoch = 1
    assert batches != [batch["index"].tolist() for batch in loader]


@pytest.mark.parametrize("workers", [0, 1])
def test_starting_a_loader_draws_no_random_numbers(workers: int) -> None:
    loader = build_loader(IndexImages(10), "data.train", 4, 0, False, num_workers=workers)
    torch.manual_seed(5)
    iter(loader)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))


def test_evaluation_is_complete_and_in_order() -> None:
    loader = build_loader(IndexImages(10), "data.val", 4, 0, False)
    assert [batch["index"].tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    loader = build_loader(IndexImages(10), "data.val", 4, 0, False, max_samples=6)
    assert [batch["index"].tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5]]


def test_order_of_the_dataset_is_used() -> None:
    loader = build_loader(CustomCollateAndOrder(6), "data.train", 3, 0, True)
    assert [batch["index"].tolist() for batch in loader] == [[5, 4, 3], [2, 1, 0]]


def test_iterable_dataset_drops_an_incomplete_batch_in_training_only() -> None:
    loader = build_loader(IndexStream(5), "data.train", 2, seed=0, is_training=True)
    assert [batch["label"].tolist() for batch in loader] == [[0, 1], [2, 3]]
    loader = build_loader(IndexStream(5), "data.val", 2, seed=0, is_training=False)
    assert [batch["label"].tolist() for batch in loader] == [[0, 1], [2, 3], [4]]


def test_iterable_dataset_cannot_be_evaluated_by_several_processes() -> None:
    message = r"^data\.val \(IndexStream\) is iterable, and each of 2 processes would read all of it; evaluate with one"
    with pytest.raises(ConfigError, match=message):
        build_loader(IndexStream(5), "data.val", 2, seed=0, is_training=False, world_size=2)


def test_dataset_without_samples_or_without_a_whole_training_batch_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"^data\.val \(IndexImages\) has no samples$"):
        build_loader(IndexImages(0), "data.val", 1, seed=0, is_training=False)
    message = r"^data\.batch_size is 4, but data\.train \(IndexImages\) has 3 samples: not one whole batch$"
    with pytest.raises(ConfigError, match=message):
        build_loader(IndexImages(3), "data.train", 4, seed=0, is_training=True)
    assert len(build_loader(IndexImages(3), "data.val", 4, seed=0, is_training=False)) == 1
