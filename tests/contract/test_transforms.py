"""Each registered transform depends only on torch's seed, and does not change its argument."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim

from project.core.model.preparation import Preparation
from project.registry import TRANSFORM_REGISTRY
from project.transforms.base import BatchTransform
from tests.contract.samples import build, registered, tensors

TRANSFORMS = registered(TRANSFORM_REGISTRY)


def transform_twice(transform: Any, sample: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the transformed sample, and check that it depends only on torch's seed and changes no tensor in place."""
    kept = {name: value.clone() for name, value in sample.items()}
    torch.manual_seed(0)
    one: dict[str, Tensor] = transform(sample)
    torch.manual_seed(0)
    two = transform(sample)
    assert one.keys() >= sample.keys()
    for name, value in one.items():
        assert torch.equal(two[name], value), f"{name} depends on more than torch's seed"
        assert value.isfinite().all()
    for name, value in kept.items():
        assert torch.equal(sample[name], value), f"{name} was changed in place"
    return one


@pytest.mark.parametrize("cls", [item for item in TRANSFORMS if not issubclass(item.values[0], BatchTransform)])
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
    one = transform_twice(transform, sample)
    for name, value in sample.items():
        assert one[name].shape[: len(leading)] == leading
        assert one[name].dtype == value.dtype


@pytest.mark.parametrize("cls", [item for item in TRANSFORMS if getattr(item.values[0], "is_random", None) is not None])
def test_transforms_say_whether_they_are_random(cls: Any) -> None:
    """Else a warning that an exported net lacks a transform is missing, or wrong."""
    transform, batch, found = build(cls), tensors() | getattr(cls, "example", {}), []
    for seed in range(8):
        torch.manual_seed(seed)
        found.append({name: value for name, value in transform(batch).items() if isinstance(value, Tensor)})
    differs = any(not torch.equal(found[0][name], value) for other in found for name, value in other.items())
    assert differs == cls.is_random


@pytest.mark.parametrize("cls", [item for item in TRANSFORMS if issubclass(item.values[0], BatchTransform)])
def test_batch_transforms_are_reproducible_and_not_in_place(cls: Any) -> None:
    batch = tensors() | getattr(cls, "example", {})
    mixed = transform_twice(build(cls), batch)
    assert mixed["label"].shape == (4, 10)
    torch.testing.assert_close(mixed["label"].sum(1), torch.ones(4))
    assert all(len(mixed[name]) == 4 and mixed[name].dtype == batch[name].dtype for name in mixed.keys() - {"label"})


def seeded(transform: Any, batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    transformed: dict[str, Tensor] = transform(batch)
    return transformed


@pytest.mark.parametrize("cls", [item for item in TRANSFORMS if not issubclass(item.values[0], BatchTransform)])
def test_deterministic_transforms_can_be_exported_in_prepare(cls: Any) -> None:
    """With any batch and any size of pictures; random ones do not belong there, and are left out."""
    transform, batch = build(cls), tensors() | getattr(cls, "example", {})
    batch = {name: value for name, value in batch.items() if isinstance(value, Tensor)}
    one, *others = (seeded(transform, batch, seed) for seed in range(5))
    if not all(torch.equal(other[name], value) for other in others for name, value in one.items()):
        return
    rows, sides = Dim("batch", min=1), {2: Dim.AUTO, 3: Dim.AUTO}
    shapes = {name: {0: rows} | (sides if value.ndim == 4 else {}) for name, value in batch.items()}
    prepare = Preparation({"own": transform})
    program = torch.export.export(prepare, (batch,), dynamic_shapes=(shapes,), strict=False).module()
    for height, width in ((32, 32), (24, 16), (16, 24)):
        other = {
            name: value[:1, ..., :height, :width] if value.ndim == 4 else value[:1] for name, value in batch.items()
        }
        expected, found = prepare(other), program(other)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value)
