"""The engine's training step makes the same calls in the same order, with the same numbers, as Lightning's own."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.profilers import SimpleProfiler
from torch import Tensor, nn
from torch.utils.data import DataLoader

from project.core.training.lightning_internals import fast_steps, names, replace_loops
from project.core.training.lightning_internals.fast_steps import TrainingStep
from project.core.training.lightning_internals.hooks import NoProfiler, PrepareHooks
from project.core.training.lightning_internals.loops import FitLoop
from project.core.training.lightning_internals.names import Feature

HOOKS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward"),
    *("on_after_backward", "on_before_optimizer_step", "on_train_epoch_end"),
)
MODULE_HOOKS = (
    *("on_before_batch_transfer", "on_after_batch_transfer", "training_step"),
    *("backward", "optimizer_zero_grad", "optimizer_step", "configure_gradient_clipping", "lr_scheduler_step"),
)
Calls = list[tuple[Any, ...]]


def record_hooks(calls: Calls, owner: Any, hooks: tuple[str, ...]) -> None:
    """Record calls of hooks: the arguments, the step, and the hook that `self.log` would find itself called in."""
    for hook in hooks:
        setattr(owner, hook, recording(calls, owner, hook, getattr(owner, hook)))


def recording(calls: Calls, owner: Any, hook: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that records its calls."""

    @wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        module = next((value for value in (owner, *arguments) if isinstance(value, pl.LightningModule)), owner)
        seen = tuple(comparable(value) for value in (*arguments, *named.values()))
        logs_from = None if "transfer" in hook else module._current_fx_name  # nothing can be logged in a transfer
        calls.append((type(owner).__name__, hook, logs_from, module.trainer.global_step, seen))
        return method(*arguments, **named)

    return call


def comparable(value: Any) -> Any:
    """Return a value that can be compared between runs: the numbers of tensors, the types of other objects."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {name: comparable(each) for name, each in value.items()}
    return "call" if callable(value) else type(value).__name__


class Line(pl.LightningModule):
    """Module that fits a line to noise.

    Args:
        variant: what `training_step` returns and logs.
    """

    def __init__(self, variant: str = "dict") -> None:
        super().__init__()
        self.layer, self.variant = nn.Linear(3, 1), variant

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        loss = self.layer(batch).square().mean()
        if self.variant == "logs":
            self.log("loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        if self.variant == "skips batches" and batch_idx % 2:
            return None
        if self.variant == "ends epoch":
            self.log("seen", float(batch_idx))
        return loss if self.variant == "tensor" else {"loss": loss, "more": loss.detach() + 1}

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> int | None:
        return -1 if self.variant == "ends epoch" and batch_idx == 2 else None

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class NoBatchIdx(Line):
    """Module whose `training_step` does not take `batch_idx`."""

    def training_step(self, batch: Tensor) -> Any:  # type: ignore[override]
        return super().training_step(batch, 0)


class CallsClosureOften(Line):
    """Module with an optimizer that calls the closure several times."""

    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)


class TransfersItself(Line):
    """Module that transfers batches to the device itself."""

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return super().transfer_batch_to_device(batch + 1, device, dataloader_idx)


class ChangesBatch(Line):
    """Module that changes the dict of its batch, or a dict in it."""

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Any:  # type: ignore[override]
        inner = batch.get("inner", batch)
        inner["x"] = inner["x"] * 2
        return super().training_step(inner["x"], batch_idx)


class ReturnsMinusOne(pl.Callback):
    """Callback whose return value, unlike that of a module, does not end the epoch."""

    def on_train_batch_start(self, *_: Any) -> int:  # type: ignore[override]
        return -1


class Gaps(torch.utils.data.Dataset[Any]):
    """Dataset in which every third batch is None."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Tensor | None:
        return None if index % 3 == 2 else torch.full((2, 3), float(index))


class InMemory(torch.utils.data.Dataset[Any]):
    """Dataset that returns the same objects in each epoch.

    Args:
        nested: whether the tensors are in a dict in the dict of the batch.
    """

    def __init__(self, nested: bool) -> None:
        flat = [{"x": torch.ones(2, 3)} for _ in range(7)]
        self.batches: list[Any] = [{"inner": batch} for batch in flat] if nested else flat

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> dict[str, Any]:
        batch: dict[str, Any] = self.batches[index]
        return batch


def recording_trainer(
    directory: Path,
    module: pl.LightningModule,
    callback_hooks: tuple[str, ...],
    module_hooks: tuple[str, ...],
    **settings: Any,
) -> tuple[Calls, pl.Trainer]:
    """Return the list of the calls that will be made, and a trainer with the engine's loops; all weights are 1."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.ones_(parameter)
    calls: Calls = []
    callback = ReturnsMinusOne()
    record_hooks(calls, callback, callback_hooks)
    record_hooks(calls, module, module_hooks)
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=directory, callbacks=[PrepareHooks(), callback], **settings,
    )  # fmt: skip
    replace_loops(trainer, after_batch)
    return calls, trainer


def noise_loader(count: int) -> DataLoader[Tensor]:
    """Return a loader of random rows in batches of two."""
    rows: Any = torch.rand(count, 3)
    return DataLoader(rows, batch_size=2)


def after_batch(trainer: pl.Trainer, validates: bool) -> None:
    pass


def step_of(trainer: pl.Trainer) -> Any:
    """Return what the loop calls at each batch."""
    loop: Any = trainer.fit_loop.epoch_loop
    return loop._step


def train(
    directory: Path, module: pl.LightningModule, data: Any = None, **settings: Any
) -> tuple[Calls, dict[str, Any], pl.Trainer]:
    """Train for two epochs of seven batches; return the calls, a checkpoint's content, and the trainer."""
    calls, trainer = recording_trainer(directory, module, HOOKS, MODULE_HOOKS, **({"max_epochs": 2} | settings))
    trainer.fit(module, noise_loader(14) if data is None else data)
    trainer.save_checkpoint(directory / "end.ckpt")
    return calls, torch.load(directory / "end.ckpt", weights_only=True), trainer


def unbatched(dataset: torch.utils.data.Dataset[Any]) -> DataLoader[Any]:
    """Return a loader whose batches are the items of a dataset."""
    return DataLoader(dataset, batch_size=None, collate_fn=lambda batch: batch)


CASES: dict[str, tuple[Callable[[], pl.LightningModule], dict[str, Any]]] = {
    "returns a dict": (Line, {}),
    "returns a tensor": (lambda: Line("tensor"), {}),
    "skips batches": (lambda: Line("skips batches"), {}),
    "logs": (lambda: Line("logs"), {"log_every_n_steps": 2}),
    "ends the epoch": (lambda: Line("ends epoch"), {}),
    "without batch_idx": (NoBatchIdx, {}),
    "accumulated batches": (Line, {"accumulate_grad_batches": 3}),
    "clipped": (lambda: Line("tensor"), {"accumulate_grad_batches": 2, "gradient_clip_val": 0.1}),
    "bf16-mixed": (Line, {"precision": "bf16-mixed"}),
    "64-true": (Line, {"precision": "64-true"}),
    "max_steps": (Line, {"max_steps": 9}),
    "NoProfiler": (Line, {"profiler": NoProfiler()}),
    "LBFGS": (CallsClosureOften, {}),
    "own transfer": (TransfersItself, {}),
    "changes the batch": (ChangesBatch, {"data": unbatched(InMemory(nested=False))}),
    "changes a dict in the batch": (ChangesBatch, {"data": unbatched(InMemory(nested=True))}),
    "batches that are None": (Line, {"data": unbatched(Gaps())}),
}


@pytest.mark.parametrize(("build", "settings"), CASES.values(), ids=CASES)
def test_fast_step_makes_the_calls_numbers_and_weights_of_lightning(
    build: Callable[[], pl.LightningModule],
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, checkpoint, trainer = train(tmp_path, build(), **settings)
    assert isinstance(step_of(trainer), TrainingStep)
    monkeypatch.setattr(fast_steps, "supports_fast_step", lambda *_: False)
    expected_calls, expected, lightning = train(tmp_path, build(), **settings)
    assert not isinstance(step_of(lightning), TrainingStep)
    assert calls == expected_calls
    assert len(calls) > 60
    for key in ("loops", "lr_schedulers", "optimizer_states", "global_step"):
        assert repr(checkpoint[key]) == repr(expected[key])
    torch.testing.assert_close(checkpoint["state_dict"], expected["state_dict"], rtol=0, atol=0)
    assert comparable(dict(trainer.callback_metrics)) == comparable(dict(lightning.callback_metrics))


def test_feature_that_is_not_available_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the private names of fast steps, Lightning's own step runs in the exact loops."""
    calls, checkpoint, _ = train(tmp_path, Line())
    monkeypatch.setattr(names, "_unavailable", {Feature.FAST_STEPS})
    expected_calls, expected, trainer = train(tmp_path, Line())
    assert type(trainer.fit_loop) is FitLoop
    assert not isinstance(step_of(trainer), TrainingStep)
    assert type(trainer.test_loop).__module__.startswith("pytorch_lightning.")
    assert calls == expected_calls
    torch.testing.assert_close(checkpoint["state_dict"], expected["state_dict"], rtol=0, atol=0)


def test_whether_an_epoch_validates_is_known_at_its_start(tmp_path: Path) -> None:
    validates: list[bool] = []

    class Asks(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
            loop: Any = trainer.fit_loop.epoch_loop
            validates.append(loop._should_check_val_epoch())

        def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
            self.on_train_epoch_start(trainer)

    class Validated(Line):
        def validation_step(self, batch: Tensor, batch_idx: int) -> None: ...

    settings: dict[str, Any] = {"max_epochs": 4, "check_val_every_n_epoch": 2, "callbacks": [Asks()]}
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path, **settings
    )
    replace_loops(trainer, after_batch)
    loader = noise_loader(2)
    trainer.fit(Validated(), loader, loader)
    assert validates == [False, False, True, True] * 2


def test_epoch_without_optimizer_steps_changes_no_weights(tmp_path: Path) -> None:
    """A callback may add such an epoch to collect the batch statistics of an averaged net."""
    module = Line()
    calls, _, trainer = train(tmp_path, module, max_epochs=1)
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    calls.clear()
    loop: Any = trainer.fit_loop
    loop.max_epochs = 2
    loop._skip_backward = True
    trainer.fit(module, noise_loader(14))
    assert [call[1] for call in calls].count("training_step") == 7
    assert not [call for call in calls if call[1] == "backward"]
    torch.testing.assert_close(module.state_dict(), weights, rtol=0, atol=0)


@pytest.mark.parametrize("reason", ["profiler", "manual optimization"])
def test_step_of_lightning_runs_where_only_it_is_correct(reason: str, tmp_path: Path) -> None:
    module = Line()
    module.automatic_optimization = reason != "manual optimization"
    settings = {"profiler": SimpleProfiler()} if reason == "profiler" else {}
    calls, _, trainer = train(tmp_path, module, **settings)
    assert not isinstance(step_of(trainer), TrainingStep)
    assert [call[1] for call in calls].count("training_step") == 14
