"""The engine's step of an evaluation against Lightning's own, which is what it stands for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from project.core import loops
from project.core.steps import EvaluationStep
from tests.core.test_steps import OF_MODULE, Calls, Line, plain, recorded

OF_EVALUATION = tuple(f"on_{part}_batch_{at}" for part in ("validation", "test") for at in ("start", "end"))


class Level(Line):
    """Evaluates, with a number of the set or without one."""

    def validation_step(self, batch: Tensor, batch_idx: int, dataloader_idx: int = 0) -> Any:
        loss = self.layer(batch).mean() + dataloader_idx
        self.log("level", loss, batch_size=len(batch))
        self.log("step", loss, on_step=True, on_epoch=False, batch_size=len(batch))
        return {"loss": loss}

    test_step = validation_step

    def on_test_batch_end(self, *_: Any) -> None:
        self.log("seen", 1.0, batch_size=1, reduce_fx="sum")


class NoSet(Line):
    def test_step(self, batch: Tensor) -> Tensor:
        return self.layer(batch).mean()


def evaluate(
    folder: Path, stage: str, module: pl.LightningModule, sets: int, **settings: Any
) -> tuple[Calls, Any, pl.Trainer]:
    """Evaluates sets of four batches: what was called and what came of it, and the state of the loop."""
    of_module = (*OF_MODULE, "validation_step", "test_step", "on_test_batch_end")
    calls, trainer = recorded(folder, module, OF_EVALUATION, of_module, max_epochs=1, **settings)
    loaders = [DataLoader(torch.rand(7, 3), batch_size=2) for _ in range(sets)]
    if stage == "fit":
        outcome: Any = trainer.fit(module, DataLoader(torch.rand(14, 3), batch_size=2), loaders)
    else:
        outcome = getattr(trainer, stage)(module, loaders, verbose=False)
    loop: Any = trainer.test_loop if stage == "test" else trainer.validate_loop
    loop = trainer.fit_loop.epoch_loop.val_loop if stage == "fit" else loop
    return calls, [outcome, loop.state_dict(), plain(dict(trainer.callback_metrics))], trainer


@pytest.mark.parametrize(
    ("stage", "build", "sets", "settings"),
    [
        ("test", Level, 1, {}),
        ("test", Level, 3, {}),
        ("test", NoSet, 1, {}),
        ("test", Level, 2, {"limit_test_batches": 3, "precision": "64-true"}),
        ("validate", Level, 1, {"precision": "bf16-mixed"}),
        ("validate", Level, 2, {}),
        ("fit", Level, 1, {}),
        ("fit", Level, 2, {"val_check_interval": 3, "num_sanity_val_steps": 0}),
    ],
)
def test_the_same_calls_and_values_as_lightning_in_an_evaluation(
    stage: str,
    build: Callable[[], pl.LightningModule],
    sets: int,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[EvaluationStep] = []
    monkeypatch.setattr(loops, "EvaluationStep", lambda loop: built.append(EvaluationStep(loop)) or built[-1])
    ours, outcome, _ = evaluate(tmp_path, stage, build(), sets, **settings)
    assert built
    monkeypatch.setattr(loops, "is_plain", lambda *_: False)
    theirs, expected, _ = evaluate(tmp_path, stage, build(), sets, **settings)
    assert ours == theirs
    assert len(ours) > 3 * 3 * sets
    assert outcome == expected
