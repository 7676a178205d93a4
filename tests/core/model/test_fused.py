"""A fused optimizer computes what the unfused one does, wherever the engine uses it; others are not fused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from project.core.errors import ConfigError
from project.core.model.fused import FUSED, check_fused, is_fusible
from project.models.base import Model
from tests.conftest import Cli

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        *({}, {"weight_decay": 0.1}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.5}, {"maximize": True}),
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ],
    "Adam": [{}, {"weight_decay": 0.01}, {"amsgrad": True}, {"betas": (0.5, 0.9), "maximize": True}],
    "AdamW": [{}, {"weight_decay": 0.1}, {"amsgrad": True}, {"betas": (0.5, 0.9), "maximize": True}],
    "Adagrad": [{}, {"weight_decay": 0.1}, {"lr_decay": 0.1, "initial_accumulator_value": 0.5}, {"maximize": True}],
}
# Most are no multiples of the width of a vector register.
SHAPES: list[tuple[int, ...]] = [(n,) for n in (0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 63, 100, 144, 255, 2560)]
SHAPES += [(), (3, 5), (301, 7), (3, 4, 5, 6)]
# Fused optimizers compute in float32, unfused ones round in between: a few units in the last place.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.03}


def train(cls: type[Optimizer], fused: bool, device: str, dtype: torch.dtype, settings: dict[str, Any]) -> list[Tensor]:
    """Return the parameters and optimizer state after some steps on random gradients."""
    torch.manual_seed(0)
    weights = [torch.randn(shape).to(device, dtype) for shape in SHAPES]
    weights.append(torch.randn(3, 4, 5, 6).to(device, dtype, memory_format=torch.channels_last))
    weights.append(torch.randn(7, 9).to(device, dtype).t())
    parameters = [nn.Parameter(weight) for weight in weights]
    optimizer = cls(parameters, lr=0.1, fused=fused, **settings)  # type: ignore[call-arg]
    for _ in range(5):
        optimizer.zero_grad()
        factors = [torch.randn(parameter.shape).to(device, dtype) for parameter in parameters]
        torch.stack([(p * factor).sum() for p, factor in zip(parameters, factors, strict=True)]).sum().backward()
        dirty = [torch.full_like(parameter, torch.nan) for parameter in parameters for _ in range(8)]
        del dirty, factors  # what uninitialized memory contains
        optimizer.step()
    state = [value for parameter in parameters for _, value in sorted(optimizer.state[parameter].items())]
    return [parameter.detach() for parameter in parameters] + [value for value in state if isinstance(value, Tensor)]


def compare(device: str, cls: type[Optimizer], dtype: torch.dtype) -> None:
    for settings in SETTINGS[cls.__name__]:
        plain, fused = (train(cls, fused, device, dtype, settings) for fused in (False, True))
        for one, two in zip(plain, fused, strict=True):
            tolerance = TOLERANCES[dtype]
            torch.testing.assert_close(two.to(one.device), one, rtol=tolerance, atol=tolerance, msg=f"{settings}")


CASES = [(device, cls, dtype) for (device, cls), dtypes in FUSED.items() for dtype in sorted(dtypes, key=str)]
# By default, each optimizer once, in the type that is used most.
CPU_CASES = [
    case if case[2] == torch.float32 else pytest.param(*case, marks=pytest.mark.slow)
    for case in CASES
    if case[0] == "cpu"
]


@pytest.mark.parametrize(("device", "cls", "dtype"), CPU_CASES)
def test_fused_optimizer_equals_the_unfused_one(device: str, cls: type[Optimizer], dtype: torch.dtype) -> None:
    compare(device, cls, dtype)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize(("device", "cls", "dtype"), [case for case in CASES if case[0] != "cpu"])
def test_fused_optimizer_equals_the_unfused_one_on_a_gpu(device: str, cls: type[Optimizer], dtype: torch.dtype) -> None:
    compare(device, cls, dtype)


class OwnAdam(Adam):
    """Optimizer of the user's own, whose fused form no test compares."""


@pytest.mark.parametrize(
    ("cls", "dtype", "settings", "expected"),
    [
        (AdamW, torch.bfloat16, {}, True),
        (SGD, torch.float32, {}, True),
        (SGD, torch.bfloat16, {}, False),
        (AdamW, torch.float16, {}, False),
        (OwnAdam, torch.float32, {}, False),
        (AdamW, torch.float32, {"foreach": True}, False),
        (AdamW, torch.float32, {"fused": False}, False),
        (AdamW, torch.complex64, {}, False),
    ],
)
def test_only_compared_optimizers_are_fusible(
    cls: type[Optimizer], dtype: torch.dtype, settings: dict[str, Any], expected: bool
) -> None:
    net = nn.ParameterList([torch.ones(3), torch.ones(3, dtype=dtype)])
    optimizer = cls(net.parameters(), lr=0.1, **settings)  # type: ignore[call-arg]
    assert is_fusible(optimizer, net) is expected


def test_view_with_gaps_is_not_fusible() -> None:
    """torch's fused optimizers on the CPU take the elements of such a view from the wrong places."""
    net = nn.ParameterList([torch.ones(4, 6)[:, ::2]])
    assert not is_fusible(AdamW(net.parameters()), net)
    with pytest.raises(ConfigError, match=r"wrong values for a parameter that is a view with gaps .*; remove `fused`$"):
        check_fused(AdamW(net.parameters(), fused=True))
    dense = nn.ParameterList([torch.ones(4, 6).t(), torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last)])
    assert is_fusible(AdamW(dense.parameters()), dense)


class Embedded(Model):
    """Net with an embedding whose gradient is sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 10, sparse=True)

    def forward(self, label: Tensor) -> dict[str, Tensor]:
        return {"logits": self.embedding(label)}


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_sparse_gradients_train(name: str, cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny({"model": {"net": {"type": "tests.core.model.test_fused.Embedded"}, "optimizer": {"type": name}}})
    ran = cli("fit", "--config", config, "--model.optimizer.lr", "0.1")
    assert ran.code == 0, ran.err


def test_sgd_with_momentum_learns_in_bf16(cli: Cli, tiny: Callable[..., str]) -> None:
    """torch's fused SGD has uninitialized memory as its momentum there."""
    model = {"optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9}, "net": {"hidden": 64}}
    trainer = {"precision": "bf16-true", "max_epochs": 5, "limit_train_batches": 19}
    assert cli("fit", "--config", tiny({"model": model, "trainer": trainer})).code == 0
    saved = torch.load("experiments/tiny/checkpoints/last.ckpt", weights_only=True)
    assert saved["optimizer_states"][0]["param_groups"][0]["fused"] is None
    assert saved["callbacks"]["Checkpoints"]["values"]["val/accuracy"] > 0.8
