"""Watchers are called for the batches of their steps only, with one optimizer, accumulation and manual optimization."""

import pdb
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from project.study.replay.debugger import PdbWatcher
from project.study.replay.replaying import replay_steps
from project.study.replay.watching import StepWatcher
from tests.conftest import Cli
from tests.core.run.test_exact_resume import RANDOM
from tests.modules.test_gan import GAN


class Log(StepWatcher):
    """Watcher that keeps what it is told."""

    def __init__(self, first: int, last: int | None = None) -> None:
        super().__init__(first, last)
        self.calls: list[Any] = []

    def before_batch(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        assert self.is_watching
        self.calls.append(batch_idx)

    def after_step(self, trainer: pl.Trainer, module: pl.LightningModule, steps: range) -> None:
        self.calls.append([*steps])

    def drop(self) -> None:
        self.calls.append("drop")


@pytest.fixture
def run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Callable[..., Path]:
    """Return a function that trains an epoch of five batches, without checkpoints in it."""

    def train(over: dict[str, Any]) -> Path:
        config = tiny(RANDOM | {"checkpoint": {}} | over)
        ran = cli("fit", "--config", config, "--trainer.max_epochs", "1")
        assert ran.code == 0, ran.err
        return tmp_path / "experiments/tiny"

    return train


def test_accumulated_batches_belong_to_the_step_after_them(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps have batches 0 and 1, 2 and 3, and 4; the debugger stops once."""
    directory = run({"trainer": RANDOM["trainer"] | {"accumulate_grad_batches": 2}})
    stops: list[int] = []

    def stop(call: Callable[..., Any], batch: Any, index: int) -> Any:
        stops.append(index)
        return call(batch, index)

    monkeypatch.setattr(pdb, "runcall", stop)
    watchers = [Log(1), Log(2), Log(2, 3)]
    replay_steps(directory, 1, 3, [*watchers, PdbWatcher(2)])
    assert [watcher.calls for watcher in watchers] == [[0, 1, [1]], [2, 3, [2]], [2, 3, [2], 4, [3]]]
    assert stops == [2]


@pytest.mark.slow
def test_in_manual_optimization_batches_are_kept_or_dropped_after_them(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch has two steps."""
    directory = run({"model": GAN, "data": RANDOM["data"] | {"val": None}})
    stops: list[int] = []

    def stop(call: Callable[..., Any], batch: Any, index: int) -> Any:
        stops.append(index)
        return call(batch, index)

    monkeypatch.setattr(pdb, "runcall", stop)
    watchers = [Log(5), Log(4, 5)]
    replay_steps(directory, 4, 6, [*watchers, PdbWatcher(5), PdbWatcher(2)])
    assert watchers[0].calls == [0, "drop", 1, "drop", 2, [5]]
    assert watchers[1].calls == [0, "drop", 1, [4], 2, [5]]
    assert stops == [0, 2]
