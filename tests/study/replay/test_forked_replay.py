"""Replays across the start of a fork, and across a resume with other settings."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from project.study.replay.replaying import replay_steps
from tests.conftest import Cli
from tests.exactness import differing, flat

STEPS: dict[str, Any] = {
    "model": {"net": {"dropout": 0.2}},
    "data": {"val": None},
    "checkpoint": {"every_n_steps": 1, "keep": -1},
    "trainer": {"limit_train_batches": 3, "max_epochs": 2},
}
TRAINED = ("state_dict", "optimizer_states", "lr_schedulers")


def state_of(content: dict[str, Any]) -> dict[str, Any]:
    return flat({key: content[key] for key in TRAINED})


def saved(run: Path, step: int) -> dict[str, Any]:
    """Return what was trained until a step, according to a checkpoint."""
    (path,) = (run / "checkpoints").glob(f"*_step_{step:06d}.ckpt")
    return state_of(torch.load(path, weights_only=True))


@pytest.fixture
def forked(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> tuple[Path, Path]:
    """Return a run of 6 steps that was resumed at step 2, and its fork from step 4, both with other settings."""
    run, fork = (tmp_path / "experiments" / name for name in ("tiny", "fork"))
    config = tiny(STEPS)
    for words in (
        ["--config", config],
        ["--resume", step_file(run, 2), "--model.optimizer.lr", "0.1"],
        ["--resume", step_file(run, 4), "--name", "fork", "--model.optimizer.weight_decay", "0.5"],
    ):
        ran = cli("fit", *[str(word()) if callable(word) else word for word in words])
        assert ran.code == 0, ran.err
    return run, fork


def step_file(run: Path, step: int) -> Callable[[], Path]:
    return lambda: next((run / "checkpoints").glob(f"*_step_{step:06d}.ckpt"))


@pytest.mark.slow
def test_steps_are_trained_with_the_settings_that_they_had(forked: tuple[Path, Path]) -> None:
    """From the fork's own checkpoint, from the origin's, and from the start of the origin, where settings changed."""
    run, fork = forked
    expected = saved(fork, 6)

    def replay() -> int:
        replayed = replay_steps(fork, 6, 6, states=[6])
        assert not differing(expected, state_of(replayed.states[6]))
        return replayed.first

    assert replay() == 5
    shutil.rmtree(fork / "checkpoints")
    assert replay() == 4
    shutil.rmtree(run / "checkpoints")
    assert replay() == 0
