"""A run killed with SIGKILL at any moment and resumed ends with the same weights, optimizer, curves and metrics."""

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from project.core.config.yaml_files import merge_all
from tests.conftest import CONFIGS, TINY
from tests.exactness import differing, outcome

COMPONENTS = "tests.core.random_components"
# All that a run usually has: dropout, batch statistics, augmentation, a schedule, the best checkpoint by a metric.
USUAL: dict[str, Any] = {
    "model": {
        "net": {"type": f"{COMPONENTS}.Dropped"},
        "scheduler": {"type": "WarmupCosine", "warmup": 1},
        "clip": {"value": 1.0},
    },
    "data": {"train": {"augmentation": {"shift": {"type": "tests.components.RandomShift"}}}},
    "visual": {
        "row": {"type": "tests.components.Row"},
        "seldom": {"type": "tests.components.Row", "every_n_epochs": 2},
    },
    "checkpoint": {"monitor": "val/accuracy", "mode": "max", "save_time": 0.2},
    "digests": {"parameters": 1, "all": 3},
    "trainer": {"limit_train_batches": 1.0, "logger": [{"type": "CSVLogger"}]},
}


class Training:
    """A training in processes of its own, in one directory.

    Args:
        directory: working directory of the processes.
        trainer: arguments of the Trainer.
    """

    def __init__(self, directory: Path, **trainer: Any) -> None:
        self.directory, self.run = directory, directory / "experiments/tiny"
        tree = merge_all([TINY, USUAL, {"trainer": trainer}])
        (directory / "kills.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))

    def start(self) -> "subprocess.Popen[str]":
        """Start to train, from the newest checkpoint if there is one."""
        command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", "kills.yaml", "--resume", "auto"]
        pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.directory, text=True, **pipes)

    def finish(self) -> Path:
        """Train to the end, and return the run directory."""
        process = self.start()
        shown = process.communicate(timeout=900)[1]
        assert process.returncode == 0, shown
        return self.run


def wait_for_start(process: "subprocess.Popen[str]") -> None:
    """Wait until the training has locked its directory."""
    assert process.stderr is not None
    assert any("the run directory is" in line for line in process.stderr)


def names(run: Path) -> set[str]:
    """Return the names of the checkpoints of a run."""
    return {path.name for path in run.glob("checkpoints/epoch*")}


@pytest.mark.slow
def test_run_killed_ten_times_at_random_moments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("uninterrupted", "killed"):
        (tmp_path / name).mkdir()
    uninterrupted = Training(tmp_path / "uninterrupted", max_epochs=300).finish()
    training, moments = Training(tmp_path / "killed", max_epochs=300), random.Random(0)
    for number in range(10):
        known = names(training.run)
        process, seconds = training.start(), moments.uniform(0.02, 1.2)
        wait_for_start(process)
        while number % 2 and names(training.run) == known and process.poll() is None:  # a start may take longer
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
        process.communicate()
        assert process.returncode == -9, "the training ended before the kill; train for longer"
        with capsys.disabled():
            newest = max(names(training.run), default="none")
            print(f"\nkilled {seconds:.2f} s after the start; newest checkpoint: {newest}", end="")
    assert differing(outcome(uninterrupted), outcome(training.finish())) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "callback",
    [
        {"type": f"{COMPONENTS}.Strike", "hook": "on_validation_batch_start", "count": 8, "what": "SIGKILL"},
        {"type": f"{COMPONENTS}.Strike", "hook": "on_train_epoch_end", "count": 2, "what": "SIGKILL"},
        {"type": f"{COMPONENTS}.KilledWhileWriting", "count": 3},
    ],
    ids=["in a validation", "at the end of an epoch", "while a checkpoint is written"],
)
def test_run_killed_at_a_chosen_moment(callback: dict[str, Any], tmp_path: Path) -> None:
    training = Training(tmp_path, max_epochs=4, callbacks=[callback])
    (tmp_path / "struck.txt").touch()  # the callback does nothing
    uninterrupted = training.finish().rename(tmp_path / "uninterrupted")
    (tmp_path / "struck.txt").unlink()
    process = training.start()
    process.communicate()
    assert process.returncode == -9
    assert differing(outcome(uninterrupted), outcome(training.finish())) == []
    assert not list(training.run.glob("checkpoints/.*"))
