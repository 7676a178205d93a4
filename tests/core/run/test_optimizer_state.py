"""The state of an optimizer is loaded with the dtypes that were saved."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from project.core.run.optimizer_state import keep_dtypes
from tests.conftest import Cli
from tests.core.random_configs import OPTIMIZERS
from tests.exactness import differing, flat


class MasterSGD(Optimizer):
    """SGD that keeps float32 copies of the parameters, as many optimizers for bf16 do."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        if closure is not None:
            closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state.setdefault("master", parameter.detach().float().clone()).sub_(
                    group["lr"] * parameter.grad.float()
                )
                parameter.data.copy_(state["master"])


CLASSES = [getattr(torch.optim, name) for name in OPTIMIZERS if name != "SparseAdam"] + [MasterSGD]


def step(parameter: nn.Parameter, optimizer: Optimizer, seed: int) -> None:
    factor = torch.randn(4, 5, generator=torch.Generator().manual_seed(seed)).to(parameter.dtype)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (parameter * factor).sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("cls", CLASSES)
def test_loaded_state_is_that_which_was_saved(cls: Callable[..., Optimizer], dtype: torch.dtype) -> None:
    parameter = nn.Parameter(torch.linspace(-1, 1, 20).view(4, 5).to(dtype))
    optimizer = cls([parameter], lr=0.01)
    for seed in range(3):
        step(parameter, optimizer, seed)
    saved = deepcopy(optimizer.state_dict())
    copy = nn.Parameter(parameter.detach().clone())
    resumed = cls([copy], lr=0.1)
    keep_dtypes(resumed)
    resumed.load_state_dict(saved)
    assert differing(flat(saved), flat(resumed.state_dict())) == []
    for seed in range(3, 6):
        step(parameter, optimizer, seed)
        step(copy, resumed, seed)
    assert torch.equal(parameter, copy)


def test_changed_precision_converts_the_state(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    model = {"optimizer": {"type": "NAdam"}}
    assert cli("fit", "--config", tiny({"model": model, "trainer": {"precision": "bf16-true"}})).code == 0
    ran = cli("fit", "--resume", "experiments/tiny", "--trainer.precision", "64-true", "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    saved = torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)
    assert {value.dtype for name, value in saved["optimizer_states"][0]["state"][0].items() if name != "step"} == {
        torch.float64
    }


def test_resume_decides_again_whether_the_optimizer_is_fused(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """torch loads `fused` from the checkpoint, and fused SGD is wrong in bf16 on the CPU."""
    model = {"optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9}}
    assert cli("fit", "--config", tiny({"model": model})).code == 0
    ran = cli("fit", "--resume", "experiments/tiny", "--trainer.precision", "bf16-true", "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    saved = torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)
    assert saved["optimizer_states"][0]["param_groups"][0]["fused"] is None
