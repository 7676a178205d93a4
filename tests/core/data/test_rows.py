"""The rows of a batch belong to the right samples, also if `collate` drops or repeats samples."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from project.core.data.loading import BatchDataset, build_loader
from project.core.data.rows import add_indices, identify_rows
from project.core.data.sampling import BatchRequest
from project.core.errors import ConfigError
from tests.core.components import IndexImages, Resampled, ResampledStream

Kind = Literal["sample", "samples", "batch"]
ROWS = [(1, 0, 1), (2, 0, 3), (1,), (5,)]


def expected_indices(indices: list[int], rows: tuple[int, ...]) -> list[int]:
    return [index for index in indices for _ in range(rows[index % len(rows)])]


def load_share(dataset: Any, indices: list[int], rows: slice = slice(0, 99), is_training: bool = False) -> Any:
    """Return a batch, by default of one process."""
    return BatchDataset(dataset, "data.val", 0, is_training)[BatchRequest(indices, rows, 0, 0)]


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("kind", ["sample", "samples", "batch"])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("workers", [0, 1])
def test_each_row_has_the_index_of_its_sample(
    workers: int, rows: tuple[int, ...], kind: Kind, is_training: bool
) -> None:
    loader = build_loader(Resampled(10, rows, kind=kind), "data.val", 4, 0, is_training, num_workers=workers)
    batches = list(loader)
    if is_training and kind != "batch" and rows != (1,):
        assert not any("index" in batch for batch in batches if len(batch["number"]) != 4)
    else:
        assert all(isinstance(batch["index"], Tensor) and next(iter(batch)) == "index" for batch in batches)
        assert all(torch.equal(batch["index"], batch["number"]) for batch in batches)
    if not is_training:
        found = torch.cat([batch["index"] for batch in batches]).tolist()
        assert found == expected_indices(list(range(10)), rows)


@pytest.mark.parametrize("kind", ["sample", "samples", "batch"])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("count", [6, 5, 3, 1])
def test_processes_share_the_rows_of_a_batch(count: int, rows: tuple[int, ...], kind: Kind) -> None:
    """Rows of one sample stay in one process; a process may have no samples, or only dropped ones."""
    dataset, indices = Resampled(10, rows, kind=kind), [7, 2, 9, 4, 0, 3][:count]
    shares = [load_share(dataset, indices, slice(2 * rank, 2 * rank + 2)) for rank in range(3)]
    found = [share["index"].tolist() for share in shares]
    together = [index for own in found for index in own]
    assert sorted(together) == sorted(expected_indices(indices, rows))
    assert all(share.get("number", torch.empty(0)).tolist() == own for share, own in zip(shares, found, strict=True))
    assert sum(len(set(own)) for own in found) == len(set(together))


@pytest.mark.parametrize("kind", ["sample", "samples"])
@pytest.mark.parametrize("rows", [(1, 0, 1), (2,)])
def test_other_rows_without_index_are_refused_in_evaluation_only(rows: tuple[int, ...], kind: Kind) -> None:
    dataset = Resampled(10, rows, keeps_index=False, kind=kind)
    batch = load_share(dataset, [4, 3, 2], is_training=True)
    assert batch.keys() == {"image", "label", "number"}  # no false index
    assert batch["number"].tolist() == expected_indices([4, 3, 2], rows)
    with pytest.raises(ConfigError) as caught:
        load_share(dataset, [4, 3, 2])
    count = len(expected_indices([4, 3, 2], rows))
    assert str(caught.value) == (
        f"data.val (Resampled): a batch of 3 samples came as image ({count}, 1, 8, 8) float32, label ({count},) int64, "
        f"number ({count},) int64\n"
        "Return `index` (rows,) with it, the index of each row's sample; samples that `collate` gets contain theirs"
    )


def test_training_batch_without_rows_is_refused_and_evaluated_without_values() -> None:
    dataset = Resampled(10, rows=(0,))
    assert load_share(dataset, [4, 3])["index"].tolist() == []
    message = r"^data\.val \(Resampled\): no row is left of a training batch\nLet `collate` replace some samples"
    with pytest.raises(ConfigError, match=message):
        load_share(dataset, [4, 3], is_training=True)


def test_error_of_a_collate_without_samples_is_explained() -> None:
    class Naive(Resampled):
        def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
            return torch.utils.data.default_collate([])  # type: ignore[no-any-return]

    with pytest.raises(IndexError) as caught:
        load_share(Naive(), [4, 3])
    assert "If `collate` drops all samples of a batch, it must return {}" in caught.value.__notes__


@pytest.mark.parametrize(
    ("batch", "index"),
    [
        ({"points": torch.zeros(9, 3), "label": torch.zeros(2)}, [7, 5]),  # bags, with a label for each
        ({"points": torch.zeros(9, 3), "label": torch.zeros(9), "index": torch.tensor([7] * 4 + [5] * 5)}, None),
        ({"image": torch.zeros(1, 2), "index": [torch.tensor(5)]}, [5]),
        ({"image": torch.zeros(1, 2), "index": np.array([5], dtype=np.uint8)}, [5]),
        ({"nested": {"image": torch.zeros(2, 3)}}, [7, 5]),
        ({"views": [torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 3)]}, [7, 5]),
        ({"text": ["a", "b"], "weight": torch.zeros(10)}, [7, 5]),
        ({"graph": object()}, [7, 5]),  # cannot be judged
        ({"image": torch.zeros(0, 2)}, []),
        ({}, []),
    ],
)
def test_rows_are_the_samples_or_those_of_the_index(batch: dict[str, Any], index: list[int] | None) -> None:
    identified = identify_rows(batch, 2, [7, 5], False, "data.val")
    assert next(iter(identified)) == "index"
    assert identified["index"].dtype == np.int64
    assert identified["index"].tolist() == (batch["index"].tolist() if index is None else index)
    assert {name: value for name, value in identified.items() if name != "index"} == {
        name: value for name, value in batch.items() if name != "index"
    }


@pytest.mark.parametrize(
    "batch",
    [
        {"image": torch.zeros(3, 2), "index": torch.tensor([7, 5])},  # index of the samples, but not of the rows
        {"image": torch.zeros(2, 2), "index": ["a", "b"]},
        {"image": torch.zeros(2, 2), "index": torch.zeros(2)},
        {"image": torch.zeros(2, 2), "index": torch.zeros(2, 2, dtype=torch.int64)},
        {"image": torch.zeros(3, 2)},
        {"views": [torch.zeros(3, 3), torch.zeros(3, 3), torch.zeros(3, 3)]},
    ],
)
def test_unknown_rows_are_refused_in_evaluation(batch: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^data\.val: a batch of 2 samples came as "):
        identify_rows(batch, 2, [7, 5], False, "data.val")
    assert identify_rows(batch, 2, [7, 5], True, "data.train") is batch


def test_samples_get_an_index_without_being_changed() -> None:
    class Sample(dict[str, Any]):
        """A dict with methods of its own."""

    samples = [Sample(a=1), None, {"index": "own"}]
    indexed = add_indices(samples, [3, 4, 5])
    assert (indexed[0], indexed[1:]) == ({"a": 1, "index": torch.tensor(3)}, [None, {"index": "own"}])
    assert isinstance(indexed[0], Sample)
    assert samples[0] == {"a": 1}


def test_default_collate_is_not_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasets without `collate` and `__getitems__` pay nothing for those that have them."""
    monkeypatch.setattr("project.core.data.loading.identify_rows", None)
    monkeypatch.setattr("project.core.data.loading.add_indices", None)
    assert load_share(IndexImages(), [4, 3])["index"].tolist() == [4, 3]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("rows", ROWS)
def test_rows_of_a_stream_have_the_index_of_its_samples(rows: tuple[int, ...], workers: int) -> None:
    loader = build_loader(ResampledStream(10, rows), "data.val", 4, 0, False, num_workers=workers)
    batches = list(loader)
    assert all(torch.equal(batch["index"], batch["number"]) for batch in batches)
    assert torch.cat([batch["index"] for batch in batches]).tolist() == expected_indices(list(range(10)), rows)


def test_stream_without_index_must_keep_its_samples_in_evaluation() -> None:
    def load(rows: tuple[int, ...], is_training: bool) -> Any:
        stream = ResampledStream(10, rows, keeps_index=False)
        return next(iter(build_loader(stream, "data.val", 4, 0, is_training)))

    assert "index" not in load((1,), False)
    assert load((2,), True)["number"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    message = r"^data\.val \(ResampledStream\): a batch of 4 samples came as image \(8, 1, "
    with pytest.raises(ConfigError, match=message):
        load((2,), False)


class Joined(IndexImages):
    """Dataset whose `collate` joins all entries into one."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"first": torch.tensor(float(index)), "second": torch.tensor(1.0)}

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {"features": torch.stack([torch.stack([*sample.values()]) for sample in samples])}


@pytest.mark.parametrize("is_training", [True, False])
def test_collate_that_keeps_the_rows_gets_no_index(is_training: bool) -> None:
    """It would become one more feature."""
    batch = load_share(Joined(4), [3, 2], is_training=is_training)
    assert batch["features"].tolist() == [[3, 1], [2, 1]]
    assert batch["index"].tolist() == [3, 2]
