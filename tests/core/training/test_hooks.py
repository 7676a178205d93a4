"""Preparation of hooks: copies of a module keep their own hooks, and errors that look like others get a location."""

import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.profilers import SimpleProfiler
from torch import Tensor, nn

from project.core.errors import error_location
from project.core.training.lightning_internals.hooks import PrepareHooks
from tests.core.training.test_fast_steps import Line, train


class Refused(pl.LightningModule):
    """Module that returns its weight from one hook, and calls Lightning in a way that it refuses in another."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.layer.weight

    def on_train_epoch_end(self) -> None:
        raise MisconfigurationException("refused")


@pytest.fixture
def prepared() -> Refused:
    module = Refused()
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    for stage in ("fit", "test"):
        PrepareHooks().setup(trainer, module, stage)
    return module


def test_copy_of_a_prepared_module_calls_its_own_hooks(prepared: Refused) -> None:
    for copy in (deepcopy(prepared), pickle.loads(pickle.dumps(prepared))):
        assert copy.training_step(None, 0) is copy.layer.weight
    assert prepared.training_step(None, 0) is prepared.layer.weight


def test_refusal_in_a_hook_has_its_location(prepared: Refused) -> None:
    with pytest.raises(MisconfigurationException) as caught:
        prepared.on_train_epoch_end()
    assert error_location(caught.value).startswith(f"raised in Refused.on_train_epoch_end ({__file__}:")


class RaisesStopIteration(Line):
    """Module one of whose hooks raises StopIteration at the third batch."""

    def __init__(self, hook: str) -> None:
        super().__init__()
        self.hook = hook

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        self._next("training_step", batch_idx)
        return super().training_step(batch, batch_idx)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._next("on_train_batch_end", batch_idx)

    def _next(self, hook: str, batch_idx: int) -> None:
        next(iter([] if (hook, batch_idx) == (self.hook, 2) else [0]))


@pytest.mark.parametrize("hook", ["training_step", "on_train_batch_end"])
@pytest.mark.parametrize("profiler", [None, SimpleProfiler()], ids=["fast step", "step of Lightning"])
def test_stop_iteration_in_a_hook_does_not_end_the_epoch_silently(hook: str, profiler: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="StopIteration was raised, which would end the epoch silently") as caught:
        train(tmp_path, RaisesStopIteration(hook), profiler=profiler)
    assert error_location(caught.value).startswith(f"raised in RaisesStopIteration.{hook} (")
