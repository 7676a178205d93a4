from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from project.core.errors import ConfigError, where_raised
from project.core.fetch import Fetch, build_loader, shorten
from project.core.order import Place, Request
from tests.core.random_rooms import Noisy, NoisyBatches
from tests.core.rooms import BrokenDataset, Collated, Counted, Stream


class Tensors(Dataset[Tensor]):
    def __getitem__(self, index: int) -> Tensor:
        return torch.zeros(1)

    def __len__(self) -> int:
        return 1


class Batched(Counted):
    """Counts how often it is called."""

    calls = 0

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        self.calls += 1
        return {"image": torch.tensor(indices)[:, None, None, None] * torch.ones(1, 8, 8)}

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        raise AssertionError("one by one")


def fetch(dataset: Any, indices: list[int], training: bool = True, rows: slice = slice(0, 99), epoch: int = 0) -> Any:
    """One batch."""
    return Fetch(dataset, "data.train", 0, training)[Request(indices, rows, epoch, 0)]


def test_one_by_one_and_batched_fetches_agree() -> None:
    batched = Batched()
    first, second = fetch(Counted(), [3, 1]), fetch(batched, [3, 1])
    assert first["index"].tolist() == second["index"].tolist() == [3, 1]
    assert torch.equal(first["image"], second["image"])
    assert batched.calls == 1


def test_collate() -> None:
    assert fetch(Collated(), [1, 2, 3])["size"].tolist() == [3, 3, 3]


def test_a_sample_must_be_a_dict() -> None:
    with pytest.raises(
        ConfigError, match=r"data.train \(Tensors\) yields a Tensor; a sample is a dict of named tensors"
    ):
        fetch(Tensors(), [0])


def test_an_exception_names_the_samples() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        fetch(BrokenDataset(), [4, 2])
    assert caught.value.__notes__ == ["raised in data.train (BrokenDataset), samples 4, 2"]
    assert shorten(list(range(9))) == "0, 1, 2, 3, 4, 5, 6, 7, ..."


class Exhausted(Counted):
    """Reads on behind the end of something."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return next(iter([super().__getitem__(index)] if index < 4 else []))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stop_within_a_dataset_does_not_end_the_epoch_silently(workers: int) -> None:
    loader = build_loader(Exhausted(), "data.train", 2, seed=0, training=False, num_workers=workers)
    with pytest.raises(RuntimeError, match="StopIteration was raised, which would end the epoch silently") as caught:
        list(loader)
    assert where_raised(caught.value) == "raised in data.train (Exhausted), samples 4, 5"


@pytest.mark.parametrize("dataset", [Noisy(), NoisyBatches()])
def test_what_is_drawn_depends_on_the_sample_and_the_epoch(dataset: Any) -> None:
    torch.manual_seed(1)
    first = fetch(dataset, [3, 1])["image"]
    torch.manual_seed(2)
    assert torch.equal(fetch(dataset, [3, 1])["image"], first)
    assert not torch.equal(fetch(dataset, [3, 1], epoch=1)["image"], first)
    assert not torch.equal(fetch(dataset, [4, 1])["image"], first) or isinstance(dataset, NoisyBatches)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dataset", [Noisy(), NoisyBatches(), Collated()])
@pytest.mark.parametrize("count", [6, 5, 2, 1])
def test_processes_get_their_rows(count: int, dataset: Any, training: bool) -> None:
    """Together the same as one process, to the last bit; a batch fetched in one call is so outside training."""
    indices = [7, 2, 9, 4, 0, 3][:count]
    whole = fetch(dataset, indices, training)
    shares = [fetch(dataset, indices, training, slice(2 * rank, 2 * rank + 2)) for rank in range(3)]
    assert [index for share in shares for index in share["index"]] == indices
    for name in ("image", "label"):
        if not (training and isinstance(dataset, NoisyBatches)):
            assert torch.equal(torch.cat([share[name] for share in shares]), whole[name])
        assert all(share[name].shape[1:] == whole[name].shape[1:] for share in shares)


@pytest.mark.parametrize("workers", [0, 2])
def test_training_is_shuffled_anew_in_each_epoch(workers: int) -> None:
    position = [0, 0]
    loader = build_loader(
        Counted(10), "data.train", 4, 0, True, position=lambda: Place(position[0], 0), num_workers=workers
    )
    batches = [batch["index"].tolist() for batch in loader]
    assert all(isinstance(value, Tensor) for batch in loader for value in batch.values())
    assert [len(batch) for batch in batches] == [4, 4]
    assert batches == [batch["index"].tolist() for batch in loader]
    position[0] = 1
    assert batches != [batch["index"].tolist() for batch in loader]


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_is_drawn_beside_the_fetch(workers: int) -> None:
    loader = build_loader(Counted(10), "data.train", 4, 0, False, num_workers=workers)
    torch.manual_seed(5)
    iter(loader)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))


def test_evaluation_is_in_order_and_complete() -> None:
    loader = build_loader(Counted(10), "data.val", 4, 0, False)
    assert [batch["index"].tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    loader = build_loader(Counted(10), "data.val", 4, 0, False, limit=6)
    assert [batch["index"].tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5]]


def test_an_order_of_the_datasets_own() -> None:
    loader = build_loader(Collated(6), "data.train", 3, 0, True)
    assert [batch["index"].tolist() for batch in loader] == [[5, 4, 3], [2, 1, 0]]


def test_iterable() -> None:
    loader = build_loader(Stream(5), "data.train", 2, seed=0, training=True)
    assert [batch["label"].tolist() for batch in loader] == [[0, 1], [2, 3]]
    loader = build_loader(Stream(5), "data.val", 2, seed=0, training=False)
    assert [batch["label"].tolist() for batch in loader] == [[0, 1], [2, 3], [4]]


def test_no_samples() -> None:
    with pytest.raises(ConfigError, match=r"data.val \(Counted\) has no samples"):
        build_loader(Counted(0), "data.val", 1, seed=0, training=False)
