"""Nothing in a training reads a value from the device between two steps that are logged."""

import traceback
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import Cli, slow_except

TORCHMETRIC = {"num_classes": 10, "inputs": {"preds": "logits", "target": "label"}}
INTERVAL = 4  # steps from one that is logged to the next
SETTINGS: dict[str, Any] = {
    "model": {
        "net": {"type": "tests.core.random_components.Convolved"},
        "prepare": {"normalize": {"type": "project.transforms.normalize.Normalize"}},
        "loss": {
            "cross_entropy": {"type": "project.losses.cross_entropy.CrossEntropy", "class_weights": "balanced"},
            "focal": {"type": "project.losses.focal.Focal"},
            "dice": {"type": "project.losses.dice.Dice", "ignore_index": 0},
        },
        "ema": 0.9,
        "groups": [{"match": "net.layers.0.*", "lr_scale": 0.1, "freeze": {"until_epoch": 1}}],
        "clip": {"value": 0.1},
        "scheduler": {"type": "WarmupCosine", "warmup": 2},
        "interval": "step",
        "metric": {name: {"type": f"Multiclass{name}"} | TORCHMETRIC for name in ("AUROC", "F1Score")},
    },
    "trainer": {
        "limit_train_batches": 1.0,
        "log_every_n_steps": INTERVAL,
    },
    "checkpoint": {"every_n_steps": INTERVAL},
    "data": {"train": {"type": "tests.core.random_components.Noisy", "length": 44}, "batch_size": 4, "val": None},
}


class ReadRecorder(TorchDispatchMode):
    """Record of who reads a tensor's value (`item`, `float`, `bool` and the like), which would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.callers: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if function is torch.ops.aten._local_scalar_dense.default:
            self.callers.append("".join(traceback.format_stack()[-9:-1]))
        return function(*arguments, **(named or {}))


class RecordReads(pl.Callback):
    """Callback that records what is read from the start of a step to the start of the next, by step."""

    callers: ClassVar[dict[int, list[str]]] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.recorder = ReadRecorder()
        self.recorder.__enter__()  # type: ignore[no-untyped-call]
        RecordReads.callers.clear()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        RecordReads.callers[trainer.global_step], self.recorder.callers = self.recorder.callers, []

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.recorder.__exit__(None, None, None)  # type: ignore[no-untyped-call]


class ForbidSyncs(pl.Callback):
    """Callback that makes torch raise if a step that is not logged waits for the GPU."""

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        is_logged = trainer.global_step == 0 or (trainer.global_step + 1) % INTERVAL == 0
        torch.cuda.set_sync_debug_mode("default" if is_logged else "error")

    def on_train_batch_end(self, *_: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("unit", slow_except(["step", "epoch"], "step"))
def test_values_are_read_only_at_logged_steps(unit: str, cli: Cli, tiny: Callable[..., str]) -> None:
    """Also if metrics are updated at each step, apart from those of torchmetrics that read values in an update."""
    pytest.importorskip("project.losses.focal")  # a project may have deleted the examples
    callback = "[{type: tests.core.training.test_host_syncs.RecordReads}]"
    own = {"metric": {"f1": {"type": "project.metrics.f1.F1", "num_classes": 10}}}
    over: dict[str, Any] = {"train_metrics": unit} | (own if unit == "epoch" else {})
    config = tiny(SETTINGS | {"model": SETTINGS["model"] | over})
    ran = cli("fit", "--config", config, "--trainer.callbacks", callback)
    assert ran.code == 0, ran.err
    assert list(RecordReads.callers) == list(range(11))
    readers = {step: callers for step, callers in RecordReads.callers.items() if callers}
    assert unit == "epoch" or {4, 8} <= set(readers)
    # The first step checks the names of all tensors.
    assert {step: callers for step, callers in readers.items() if step % INTERVAL and step > 1} == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_steps_that_are_not_logged_do_not_wait_for_the_gpu(cli: Cli, tiny: Callable[..., str]) -> None:
    callback = "[{type: tests.core.training.test_host_syncs.ForbidSyncs}]"
    argv = ["--trainer.accelerator", "gpu", "--trainer.precision", "bf16-mixed", "--trainer.callbacks", callback]
    ran = cli("fit", "--config", tiny(SETTINGS), *argv)
    assert ran.code == 0, ran.err
