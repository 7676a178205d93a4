"""Each registered model trains, is restored from its state, keeps samples apart, and can be exported."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from project.registry import MODEL_REGISTRY
from tests.contract.samples import build, inputs, registered

every_model = pytest.mark.parametrize("cls", registered(MODEL_REGISTRY))


@cache
def built(cls: Any) -> Any:
    """Return a model in evaluation mode, which the tests share: large ones take time to initialize."""
    return build(cls).eval()


def run(net: Any, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the output of the model, by name."""
    output = net(**given)
    return {"": output} if isinstance(output, Tensor) else dict(output)


@every_model
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_gradients_reach_every_parameter(cls: Any, bf16: bool) -> None:
    net = build(cls)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = run(net, inputs(net))
    assert output
    assert all(value.isfinite().all() for value in output.values())
    floats = [value.float() for value in output.values() if value.is_floating_point()]
    sum((value * torch.rand(value.shape)).mean() for value in floats).backward()  # type: ignore[union-attr]
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} has no gradient"
            assert parameter.grad.isfinite().all(), f"{name} has a gradient that is not finite"


@every_model
def test_state_dict_restores_the_model(cls: Any, tmp_path: Path) -> None:
    net, other = built(cls), build(cls, seed=1).eval()
    torch.save(net.state_dict(), tmp_path / "net.ckpt")
    other.load_state_dict(torch.load(tmp_path / "net.ckpt", weights_only=True))
    with torch.no_grad():
        one, two = run(net, inputs(net)), run(other, inputs(net))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@every_model
def test_samples_do_not_mix_in_evaluation(cls: Any) -> None:
    net = built(cls)
    given = inputs(net)
    size = len(next(iter(given.values())))
    with torch.no_grad():
        together, alone = run(net, given), run(net, {name: value[-1:] for name, value in given.items()})
    for name, value in together.items():
        if value.ndim and len(value) == size:
            torch.testing.assert_close(alone[name], value[-1:], rtol=1e-4, atol=1e-5)


@every_model
def test_exported_model_computes_the_same(cls: Any) -> None:
    net = build(cls).eval()  # exporting changes attributes of some layers
    given = inputs(net)
    with torch.no_grad():
        exported = torch.export.export(net, (), given).module()
        one, two = run(net, given), run(exported, given)
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-5)


@every_model
def test_predict_returns_finite_tensors(cls: Any) -> None:
    net = built(cls)
    with torch.no_grad():
        output = run(net, inputs(net))
        prediction = net.predict(**output) if hasattr(net, "predict") else output
    assert all(isinstance(value, Tensor) and value.isfinite().all() for value in prediction.values())
