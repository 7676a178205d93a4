"""Each registered transform depends only on torch's seed, and does not change its argument."""

from typing import Any

import pytest
import torch

from project.registry import TRANSFORM_REGISTRY
from tests.contract.samples import build, registered, tensors

every_transform = pytest.mark.parametrize("cls", registered(TRANSFORM_REGISTRY))


@every_transform
@pytest.mark.parametrize("leading", [(), (4,), (2, 2)], ids=["sample", "batch", "two leading dimensions"])
def test_transforms_are_reproducible_and_not_in_place(cls: Any, leading: tuple[int, ...]) -> None:
    transform = build(cls)
    batch = tensors() | getattr(cls, "example", {})
    rows = 4 if leading else 1
    sample = {
        name: value[:rows].reshape(leading + value.shape[1:])
        for name, value in batch.items()
        if isinstance(value, torch.Tensor)
    }
    kept = {name: value.clone() for name, value in sample.items()}
    torch.manual_seed(0)
    one = transform(sample)
    torch.manual_seed(0)
    two = transform(sample)
    assert one.keys() >= sample.keys()
    for name, value in one.items():
        assert torch.equal(two[name], value), f"{name} depends on more than torch's seed"
        assert value.isfinite().all()
    for name, value in kept.items():
        assert torch.equal(sample[name], value), f"{name} was changed in place"
        assert one[name].shape[: len(leading)] == leading
        assert one[name].dtype == value.dtype
