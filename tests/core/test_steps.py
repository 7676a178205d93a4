"""The engine's step against Lightning's own, which is what it stands for."""

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

from project.core import loops
from project.core.loops import replace_loops
from project.core.overhead import NoEmptyHooks, NoProfiler
from project.core.steps import TrainingStep

HOOKS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward"),
    *("on_after_backward", "on_before_optimizer_step", "on_train_epoch_end"),
)
OF_MODULE = (
    *("on_before_batch_transfer", "on_after_batch_transfer", "training_step"),
    *("backward", "optimizer_zero_grad", "optimizer_step", "configure_gradient_clipping", "lr_scheduler_step"),
)
Calls = list[tuple[Any, ...]]


def record(calls: Calls, owner: Any, hooks: tuple[str, ...]) -> None:
    """Notes the calls of hooks: what they get, and what `self.log` would think it is called from."""
    for hook in hooks:
        setattr(owner, hook, noting(calls, owner, hook, getattr(owner, hook)))


def noting(calls: Calls, owner: Any, hook: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        module = next((value for value in (owner, *arguments) if isinstance(value, pl.LightningModule)), owner)
        seen = tuple(plain(value) for value in (*arguments, *named.values()))
        logs_from = None if "transfer" in hook else module._current_fx_name  # there nothing can be logged
        calls.append((type(owner).__name__, hook, logs_from, module.trainer.global_step, seen))
        return method(*arguments, **named)

    return call


def plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return "call" if callable(value) else type(value).__name__


class Line(pl.LightningModule):
    """A line through noise."""

    def __init__(self, answer: str = "dict") -> None:
        super().__init__()
        self.layer, self.answer = nn.Linear(3, 1), answer

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        loss = self.layer(batch).square().mean()
        if self.answer == "log":
            self.log("loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        if self.answer == "every other" and batch_idx % 2:
            return None
        if self.answer == "enough":
            self.log("seen", float(batch_idx))
        return loss if self.answer == "tensor" else {"loss": loss, "more": loss.detach() + 1}

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> int | None:
        return -1 if self.answer == "enough" and batch_idx == 2 else None

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class NoNumber(Line):
    def training_step(self, batch: Tensor) -> Any:  # type: ignore[override]
        return super().training_step(batch, 0)


class Quasi(Line):
    """Under an optimizer that calls the closure several times."""

    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)


class Moves(Line):
    """Moves its batches itself."""

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return super().transfer_batch_to_device(batch + 1, device, dataloader_idx)


class Doubles(Line):
    """Changes the dict that it gets, or one within it."""

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Any:  # type: ignore[override]
        inner = batch.get("inner", batch)
        inner["x"] = inner["x"] * 2
        return super().training_step(inner["x"], batch_idx)


class Watch(pl.Callback):
    """Nobody minds what a callback returns."""

    def on_train_batch_start(self, *_: Any) -> int:  # type: ignore[override]
        return -1


class Gaps(torch.utils.data.Dataset[Any]):
    """Every third batch is none."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Tensor | None:
        return None if index % 3 == 2 else torch.full((2, 3), float(index))


class Kept(torch.utils.data.Dataset[Any]):
    """Gives out what it keeps."""

    def __init__(self, nested: bool) -> None:
        flat = [{"x": torch.ones(2, 3)} for _ in range(7)]
        self.batches: list[Any] = [{"inner": batch} for batch in flat] if nested else flat

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.batches[index]


def recorded(
    folder: Path, module: pl.LightningModule, of_callback: tuple[str, ...], of_module: tuple[str, ...], **settings: Any
) -> tuple[Calls, pl.Trainer]:
    """A trainer of the engine's loops, and the calls that it will make; the weights are ones."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.ones_(parameter)
    calls: Calls = []
    watch = Watch()
    record(calls, watch, of_callback)
    record(calls, module, of_module)
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, callbacks=[NoEmptyHooks(), watch], **settings,
    )  # fmt: skip
    replace_loops(trainer)
    return calls, trainer


def train(
    folder: Path, module: pl.LightningModule, data: Any = None, **settings: Any
) -> tuple[Calls, dict[str, Any], pl.Trainer]:
    """Two epochs of seven batches: what was called, and what a checkpoint would hold."""
    calls, trainer = recorded(folder, module, HOOKS, OF_MODULE, **({"max_epochs": 2} | settings))
    trainer.fit(module, DataLoader(torch.rand(14, 3), batch_size=2) if data is None else data)
    trainer.save_checkpoint(folder / "end.ckpt")
    return calls, torch.load(folder / "end.ckpt", weights_only=True), trainer


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (Line, {}),
        (lambda: Line("tensor"), {}),
        (lambda: Line("every other"), {}),
        (lambda: Line("log"), {"log_every_n_steps": 2}),
        (lambda: Line("enough"), {}),
        (NoNumber, {}),
        (Line, {"accumulate_grad_batches": 3}),
        (lambda: Line("tensor"), {"accumulate_grad_batches": 2, "gradient_clip_val": 0.1}),
        (Line, {"precision": "bf16-mixed"}),
        (Line, {"precision": "64-true"}),
        (Line, {"max_steps": 9}),
        (Line, {"profiler": NoProfiler()}),
        (Quasi, {}),
        (Moves, {}),
        (Doubles, {"data": DataLoader(Kept(nested=False), batch_size=None, collate_fn=lambda batch: batch)}),
        (Doubles, {"data": DataLoader(Kept(nested=True), batch_size=None, collate_fn=lambda batch: batch)}),
        (Line, {"data": DataLoader(Gaps(), batch_size=None, collate_fn=lambda batch: batch)}),
    ],
)
def test_the_same_calls_numbers_and_weights_as_lightning(
    build: Callable[[], pl.LightningModule],
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, checkpoint, trainer = train(tmp_path, build(), **settings)
    assert isinstance(trainer.fit_loop.epoch_loop._step, TrainingStep)  # type: ignore[attr-defined]
    monkeypatch.setattr(loops, "is_plain", lambda *_: False)
    theirs, expected, own = train(tmp_path, build(), **settings)
    assert not isinstance(own.fit_loop.epoch_loop._step, TrainingStep)  # type: ignore[attr-defined]
    assert ours == theirs
    assert len(ours) > 60
    for key in ("loops", "lr_schedulers", "optimizer_states", "global_step"):
        assert repr(checkpoint[key]) == repr(expected[key])
    torch.testing.assert_close(checkpoint["state_dict"], expected["state_dict"], rtol=0, atol=0)
    assert plain(dict(trainer.callback_metrics)) == plain(dict(own.callback_metrics))


def test_whether_an_epoch_validates_is_known_when_it_begins(tmp_path: Path) -> None:
    validates: list[bool] = []

    class Asks(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
            validates.append(trainer.fit_loop.epoch_loop._should_check_val_epoch())

        def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
            self.on_train_epoch_start(trainer)

    class Validated(Line):
        def validation_step(self, batch: Tensor, batch_idx: int) -> None: ...

    settings: dict[str, Any] = {"max_epochs": 4, "check_val_every_n_epoch": 2, "callbacks": [Asks()]}
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path, **settings
    )
    replace_loops(trainer)
    loader = DataLoader(torch.rand(2, 3), batch_size=2)
    trainer.fit(Validated(), loader, loader)
    assert validates == [False, False, True, True] * 2


def test_an_epoch_without_steps(tmp_path: Path) -> None:
    """As StochasticWeightAveraging has it for the statistics of the averaged net's batch norm."""
    module = Line()
    calls, _, trainer = train(tmp_path, module, max_epochs=1)
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    calls.clear()
    trainer.fit_loop.max_epochs = 2
    trainer.fit_loop._skip_backward = True
    trainer.fit(module, DataLoader(torch.rand(14, 3), batch_size=2))
    assert [call[1] for call in calls].count("training_step") == 7
    assert not [call for call in calls if call[1] == "backward"]
    torch.testing.assert_close(module.state_dict(), weights, rtol=0, atol=0)


@pytest.mark.parametrize("unlike", ["profiler", "manual"])
def test_lightning_does_what_only_it_can(unlike: str, tmp_path: Path) -> None:
    module = Line()
    module.automatic_optimization = unlike != "manual"
    settings = {"profiler": SimpleProfiler()} if unlike == "profiler" else {}
    calls, _, trainer = train(tmp_path, module, **settings)
    assert not isinstance(trainer.fit_loop.epoch_loop._step, TrainingStep)  # type: ignore[attr-defined]
    assert [call[1] for call in calls].count("training_step") == 14


class Stops(Line):
    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        return next(iter([super().training_step(batch, batch_idx)] if batch_idx < 2 else []))


def test_a_stop_within_a_step_does_not_end_the_epoch_silently(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="training_step raised StopIteration, which would end the epoch silently"):
        train(tmp_path, Stops())
