"""Steps of all kinds of run are trained again with the same bits: what was logged, and the state of a checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from project.core.run.checkpoint_files import list_by_step
from project.study.replay.logged import compare_logged
from project.study.replay.replaying import replay_steps
from tests.conftest import Cli, slow_except
from tests.core.run.test_exact_resume import RANDOM, VARIANTS
from tests.exactness import Leaves, differing, flat

STATES = (
    *("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers"),
    *("moving_average", "callbacks", "loops", "epoch"),
)
# What validations count, and which checkpoint is best: a replay may leave them out.
LEFT_OUT = (
    *("callbacks.Checkpoints", "callbacks.EpochLogger", "callbacks.ModelCheckpoint"),
    "loops.fit_loop.epoch_loop.val_loop",
)
FAST = ("two optimizers",)


def trained_state(content: dict[str, Any]) -> Leaves:
    """Return the leaves of a checkpoint that describe the training."""
    leaves = flat({key: content[key] for key in STATES if key in content})
    return {path: value for path, value in leaves.items() if not path.lstrip(".").startswith(LEFT_OUT)}


def files_of(run: Path) -> dict[str, tuple[Any, ...]]:
    """Return what a replay must not change: names, times, links and contents of all files of a run."""
    found = {}
    for path in sorted([run, *run.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mtime_ns, status.st_nlink, status.st_mode, content)
    return found


def checkpoint_of(run: Path, step: int) -> Path:
    """Return the checkpoint of a step."""
    return next(path for path, done in list_by_step(run / "checkpoints").items() if done == step)


def replay_is_exact(run: Path, step: int) -> tuple[int, int, int]:
    """Replay up to a checkpoint from the newest one before it; return steps, values and leaves that were compared."""
    path, before = checkpoint_of(run, step), files_of(run)
    replayed = replay_steps(run, step, step, states=[step])
    assert files_of(run) == before
    compared = compare_logged(run, replayed)
    assert compared.differing == []
    assert compared.compared > 0
    own, saved = (trained_state(content) for content in (replayed.states[step], torch.load(path, weights_only=True)))
    assert differing(own, saved) == []
    return replayed.last - replayed.first, compared.compared, len(saved)


@pytest.mark.parametrize("variant", slow_except(VARIANTS, *FAST))
def test_replay_of_a_run_of_each_kind_is_exact(
    variant: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """From a checkpoint within an epoch, over the end of the epoch, and from the start."""
    config, over = tiny(RANDOM), tiny({"base": []} | VARIANTS[variant], "over.yaml")
    ran = cli("fit", "--config", config, "--config", over)
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    steps = sorted(list_by_step(run / "checkpoints").values())
    last, middle = steps[-1], steps[len(steps) // 2]
    for step in steps:
        if step not in (steps[0], middle, last):
            checkpoint_of(run, step).unlink()
    counts = [replay_is_exact(run, last)]
    for path in (run / "checkpoints").iterdir():
        if not path.samefile(checkpoint_of(run, last)):
            path.unlink()
    counts.append(replay_is_exact(run, last))
    print("TABLE", variant, *counts, sep=" | ")
    assert counts[0][0] < counts[1][0] == last
