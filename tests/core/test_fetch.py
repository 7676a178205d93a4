import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from project.core.errors import ConfigError
from project.core.fetch import Fetch, build_loader, shorten
from project.datasets.digits import Digits
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


def test_one_by_one_and_batched_fetches_agree() -> None:
    one, batched = Fetch(Counted(), "data.train"), Batched()
    first, second = one.__getitems__([3, 1]), Fetch(batched, "data.train").__getitems__([3, 1])
    assert first["index"].tolist() == second["index"].tolist() == [3, 1]
    assert torch.equal(first["image"], second["image"])
    assert batched.calls == 1


def test_collate() -> None:
    assert Fetch(Collated(), "data.train").__getitems__([1, 2, 3])["size"].tolist() == [3, 3, 3]


def test_a_sample_must_be_a_dict() -> None:
    with pytest.raises(ConfigError, match=r"data.val \(Tensors\) yields a Tensor; a sample is a dict of named tensors"):
        Fetch(Tensors(), "data.val").__getitems__([0])


def test_an_exception_names_the_samples() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        Fetch(BrokenDataset(), "data.val").__getitems__([4, 2])
    assert caught.value.__notes__ == ["raised in data.val (BrokenDataset), samples 4, 2"]
    assert shorten(list(range(9))) == "0, 1, 2, 3, 4, 5, 6, 7, ..."


@pytest.mark.parametrize("workers", [0, 2])
def test_training_is_shuffled_and_drops_the_incomplete_batch(workers: int) -> None:
    loader = build_loader(Counted(10), "data.train", 4, seed=0, shuffle=True, num_workers=workers)
    batches = [batch["index"].tolist() for batch in loader]
    assert [len(batch) for batch in batches] == [4, 4]
    assert len({index for batch in batches for index in batch}) == 8
    assert batches == [batch["index"].tolist() for batch in loader]
    loader.sampler.set_epoch(1)  # type: ignore[attr-defined]
    assert batches != [batch["index"].tolist() for batch in loader]


def test_evaluation_is_in_order_and_complete() -> None:
    loader = build_loader(Counted(10), "data.val", 4, seed=0, shuffle=False)
    assert [batch["index"].tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_an_order_of_the_datasets_own() -> None:
    loader = build_loader(Collated(6), "data.train", 3, seed=0, shuffle=True)
    assert [batch["index"].tolist() for batch in loader] == [[5, 4, 3], [2, 1, 0]]


def test_iterable() -> None:
    loader = build_loader(Stream(5), "data.train", 2, seed=0, shuffle=True)
    assert [batch["label"].tolist() for batch in loader] == [[0, 1], [2, 3]]
    loader = build_loader(Stream(5), "data.val", 2, seed=0, shuffle=False)
    assert [batch["label"].tolist() for batch in loader] == [[0, 1], [2, 3], [4]]


def test_no_samples() -> None:
    with pytest.raises(ConfigError, match=r"data.val \(Counted\) has no samples"):
        build_loader(Counted(0), "data.val", 1, seed=0, shuffle=False)


def test_digits_are_fetched_in_one_call() -> None:
    assert Fetch(Digits("val"), "data.val").fetches_batches
