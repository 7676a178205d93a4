"""The engine's evaluation step makes the same calls in the same order, with the same values, as Lightning's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from torch import Tensor

from project.core.training.lightning_internals import fast_steps
from project.core.training.lightning_internals.fast_steps import EvaluationStep
from tests.core.training.test_fast_steps import MODULE_HOOKS, Calls, Line, comparable, noise_loader, recording_trainer

EVALUATION_HOOKS = tuple(f"on_{stage}_batch_{when}" for stage in ("validation", "test") for when in ("start", "end"))


class Level(Line):
    """Module that logs a value of each batch, step and dataset."""

    def validation_step(self, batch: Tensor, batch_idx: int, dataloader_idx: int = 0) -> Any:
        loss = self.layer(batch).mean() + dataloader_idx
        self.log("level", loss, batch_size=len(batch))
        self.log("step", loss, on_step=True, on_epoch=False, batch_size=len(batch))
        return {"loss": loss}

    test_step = validation_step

    def on_test_batch_end(self, *_: Any) -> None:
        self.log("seen", 1.0, batch_size=1, reduce_fx="sum")


class NoIndices(Line):
    """Module whose `test_step` takes the batch only."""

    def test_step(self, batch: Tensor) -> Tensor:
        mean: Tensor = self.layer(batch).mean()
        return mean


def evaluate(
    directory: Path, stage: str, module: pl.LightningModule, num_datasets: int, **settings: Any
) -> tuple[Calls, Any]:
    """Evaluate datasets of four batches; return the calls, and the results with the state of the loop."""
    module_hooks = (*MODULE_HOOKS, "validation_step", "test_step", "on_test_batch_end")
    calls, trainer = recording_trainer(directory, module, EVALUATION_HOOKS, module_hooks, max_epochs=1, **settings)
    loaders = [noise_loader(7) for _ in range(num_datasets)]
    loop: Any = trainer.test_loop if stage == "test" else trainer.validate_loop
    if stage == "fit":
        loop = trainer.fit_loop.epoch_loop.val_loop
        results: Any = None
        trainer.fit(module, noise_loader(14), loaders)
    else:
        results = getattr(trainer, stage)(module, loaders, verbose=False)
    return calls, [results, loop.state_dict(), comparable(dict(trainer.callback_metrics))]


CASES: dict[str, tuple[str, Callable[[], pl.LightningModule], int, dict[str, Any]]] = {
    "test": ("test", Level, 1, {}),
    "test of three datasets": ("test", Level, 3, {}),
    "test without indices": ("test", NoIndices, 1, {}),
    "test of part, 64-true": ("test", Level, 2, {"limit_test_batches": 3, "precision": "64-true"}),
    "validate, bf16-mixed": ("validate", Level, 1, {"precision": "bf16-mixed"}),
    "validate two datasets": ("validate", Level, 2, {}),
    "validation in fit": ("fit", Level, 1, {}),
    "validation within an epoch": ("fit", Level, 2, {"val_check_interval": 3, "num_sanity_val_steps": 0}),
}


@pytest.mark.parametrize(("stage", "build", "num_datasets", "settings"), CASES.values(), ids=CASES)
def test_fast_step_makes_the_calls_and_values_of_lightning(
    stage: str,
    build: Callable[[], pl.LightningModule],
    num_datasets: int,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[EvaluationStep] = []

    def build_step(loop: Any) -> EvaluationStep:
        steps.append(EvaluationStep(loop))
        return steps[-1]

    monkeypatch.setattr(fast_steps, "EvaluationStep", build_step)
    calls, results = evaluate(tmp_path, stage, build(), num_datasets, **settings)
    num_steps = len(steps)
    assert num_steps > 0
    monkeypatch.setattr(fast_steps, "supports_fast_step", lambda *_: False)
    expected_calls, expected = evaluate(tmp_path, stage, build(), num_datasets, **settings)
    assert len(steps) == num_steps
    assert calls == expected_calls
    assert len(calls) > 3 * 3 * num_datasets
    assert results == expected
