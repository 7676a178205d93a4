"""Between two steps that are logged, nothing in a training waits for the device."""

import traceback
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import Cli

OF_TORCHMETRICS = {"num_classes": 10, "inputs": {"preds": "logits", "target": "label"}}
EVERY = 4  # steps are logged
ALL = {
    "model": {
        "net": {"type": "tests.core.random_rooms.Convolved"},
        "clip": {"value": 0.1},
        "scheduler": {"type": "WarmupCosine", "warmup": 2},
        "interval": "step",
        "metric": {name: {"type": f"Multiclass{name}"} | OF_TORCHMETRICS for name in ("AUROC", "F1Score")},
    },
    "trainer": {
        "limit_train_batches": 1.0,
        "log_every_n_steps": EVERY,
    },
    "checkpoint": {"every_n_steps": EVERY},
    "data": {"train": {"type": "tests.core.random_rooms.Noisy", "length": 44}, "batch_size": 4, "val": None},
}


class Reads(TorchDispatchMode):
    """Notes who reads a tensor's value: `item`, `float`, `bool` and the like. A GPU would have to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.by: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if function is torch.ops.aten._local_scalar_dense.default:
            self.by.append("".join(traceback.format_stack()[-9:-1]))
        return function(*arguments, **(named or {}))


class Watch(pl.Callback):
    """What was read behind each step since the one before it."""

    seen: ClassVar[dict[int, list[str]]] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.reads = Reads()
        self.reads.__enter__()
        Watch.seen.clear()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        Watch.seen[trainer.global_step], self.reads.by = self.reads.by, []

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.reads.__exit__(None, None, None)


class Forbid(pl.Callback):
    """Has torch refuse what waits for the GPU in each step that is not logged."""

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        logged = trainer.global_step == 0 or (trainer.global_step + 1) % EVERY == 0
        torch.cuda.set_sync_debug_mode("default" if logged else "error")

    def on_train_batch_end(self, *_: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


def test_values_are_read_at_logged_steps_alone(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny(ALL), "--trainer.callbacks", "[{type: tests.core.test_host_syncs.Watch}]")
    assert ran.code == 0, ran.err
    assert list(Watch.seen) == list(range(1, 12))
    read = {step: by for step, by in Watch.seen.items() if by}
    assert {4, 8} <= set(read)
    assert {step: by for step, by in read.items() if step % EVERY and step > 1} == {}  # the first checks the wiring


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_no_step_between_waits_for_the_gpu(cli: Cli, tiny: Callable[..., str]) -> None:
    argv = ["--trainer.accelerator", "gpu", "--trainer.callbacks", "[{type: tests.core.test_host_syncs.Forbid}]"]
    ran = cli("fit", "--config", tiny(ALL), *argv, "--trainer.precision", "bf16-mixed")
    assert ran.code == 0, ran.err
