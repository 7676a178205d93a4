"""Each registered callback takes part in a training, and keeps its state in the training resumed from it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from torch.utils._pytree import tree_flatten

from project.registry import CALLBACK_REGISTRY
from tests.conftest import Cli
from tests.contract.samples import registered


class BatchCounter(Callback):
    """Example of a callback of one's own that keeps its state."""

    def __init__(self) -> None:
        self.count = 0

    def on_train_batch_end(self, *_: object) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]


@pytest.mark.parametrize("cls", [*registered(CALLBACK_REGISTRY), BatchCounter])
def test_callback_is_the_same_after_a_resume(cls: Any, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """The run that is resumed after its first epoch ends with the state and weights of the one that was not."""
    callback = {"type": f"{cls.__module__}.{cls.__qualname__}"} | getattr(cls, "example", {})
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": [callback], "max_epochs": 2}}))
    assert ran.code == 0, ran.err
    first, last = (tmp_path / f"experiments/tiny/checkpoints/{name}.ckpt" for name in FIRST_AND_LAST)
    ran = cli("fit", "--resume", first, "--name", "resumed")
    assert ran.code == 0, ran.err
    one, two = (torch.load(path, weights_only=True) for path in (last, tmp_path / RESUMED))
    assert state_of(cls, one) == state_of(cls, two)
    assert all(torch.equal(value, two["state_dict"][name]) for name, value in one["state_dict"].items())
    if cls is BatchCounter:
        assert state_of(cls, two) == [4]


FIRST_AND_LAST = ("epoch_0000_step_000002", "last")
RESUMED = "experiments/resumed/checkpoints/last.ckpt"


def state_of(cls: type, checkpoint: dict[str, Any]) -> list[Any]:
    """Return the values in the state of a callback; tensors as lists."""
    states = [state for key, state in checkpoint["callbacks"].items() if key.startswith(cls.__qualname__)]
    values = tree_flatten(states)[0]
    return [value.tolist() if isinstance(value, torch.Tensor) else value for value in values]
