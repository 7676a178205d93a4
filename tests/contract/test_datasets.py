"""Each registered dataset returns named tensors, in any order and in worker processes."""

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from project.core.data.loading import build_loader
from project.core.data.raw_inputs import raw_inputs
from project.registry import DATASET_REGISTRY
from tests.contract.samples import build, registered

every_dataset = pytest.mark.parametrize("cls", registered(DATASET_REGISTRY))


@every_dataset
def test_samples_are_named_tensors(cls: Any) -> None:
    dataset = build(cls)
    assert len(dataset) > 0
    sample = dataset[len(dataset) - 1]
    assert sample
    assert all(isinstance(name, str) and isinstance(value, Tensor) for name, value in sample.items())
    if hasattr(dataset, "name"):
        assert isinstance(dataset.name(0), str)


@every_dataset
def test_loader_returns_samples_in_order(cls: Any) -> None:
    dataset = build(cls)
    batch = next(iter(build_loader(dataset, "here", min(2, len(dataset)), seed=0, is_training=False)))
    assert batch["index"].tolist() == list(range(min(2, len(dataset))))
    assert batch.keys() - {"index"} >= dataset[0].keys()
    if not hasattr(dataset, "collate"):
        for name, value in dataset[0].items():
            torch.testing.assert_close(batch[name][0], value)


@every_dataset
def test_pickled_copy_has_the_same_samples(cls: Any) -> None:
    dataset = build(cls)
    sample, copy = dataset[0], pickle.loads(pickle.dumps(dataset))[0]
    assert sample.keys() == copy.keys()
    assert all(torch.equal(sample[name], copy[name]) for name in sample)


@pytest.mark.parametrize("cls", registered(DATASET_REGISTRY, having="order"))
def test_order_depends_only_on_seed_and_epoch(cls: Any) -> None:
    dataset = build(cls)
    order = list(dataset.order(0, 1))
    assert list(dataset.order(0, 1)) == order
    assert set(order) <= set(range(len(dataset)))


@every_dataset
def test_inputs_are_what_raw_describes(cls: Any) -> None:
    """Else an exported net would get other inputs than the net was trained with."""
    dataset = build(cls)
    batch = next(iter(build_loader(dataset, "here", 1, seed=0, is_training=False)))
    described = getattr(dataset, "raw", {})
    assert raw_inputs(dataset, batch, described) == described
    for name, raw in described.items():
        read = raw.read(batch[name][0].numpy())  # also refuses pictures with values that are not in [0, 1]
        assert torch.equal(torch.from_numpy(read), batch[name][0])
