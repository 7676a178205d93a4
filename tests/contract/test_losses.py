"""Each registered loss returns finite scalars with gradients, and its state can be saved."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from project.registry import LOSS_REGISTRY
from tests.contract.samples import build, inputs, registered

every_loss = pytest.mark.parametrize("cls", registered(LOSS_REGISTRY))


def run(loss: Any, given: dict[str, Tensor]) -> list[Tensor]:
    """Return the scalars of the loss."""
    value = loss(**given)
    return [value] if isinstance(value, Tensor) else list(value.values())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_are_finite_scalars_with_gradients(cls: Any, dtype: torch.dtype) -> None:
    loss = build(cls)
    given = inputs(loss)
    floats = {
        name: value.to(dtype, copy=True).requires_grad_() for name, value in given.items() if value.is_floating_point()
    }
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        values = run(loss, given | floats)
    assert all(value.ndim == 0 and value.isfinite() for value in values)
    sum(values).backward()  # type: ignore[union-attr]
    gradients = [value.grad for value in floats.values() if value.grad is not None]
    assert any(gradient.any() for gradient in gradients)
    assert all(gradient.isfinite().all() for gradient in gradients)


@every_loss
def test_state_dict_restores_the_loss(cls: Any, tmp_path: Path) -> None:
    loss, other = build(cls), build(cls, seed=1)
    torch.save(loss.state_dict(), tmp_path / "loss.ckpt")
    other.load_state_dict(torch.load(tmp_path / "loss.ckpt", weights_only=True))
    assert run(other, inputs(loss)) == run(loss, inputs(loss))


@pytest.mark.parametrize("cls", registered(LOSS_REGISTRY, having="per_sample"))
def test_one_value_per_sample(cls: Any) -> None:
    loss = build(cls)
    given = inputs(loss, "per_sample")
    values = loss.per_sample(**given)
    assert values.shape == (len(next(iter(given.values()))),)
    assert values.isfinite().all()
