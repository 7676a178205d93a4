"""kill -9 at any moment: resumed, a training ends with the same weights, optimizer, curves and metrics."""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from project.core.yaml_files import merge_all
from tests.conftest import CONFIGS, TINY
from tests.exactness import differing, outcome

ROOMS = "tests.core.random_rooms"
# Nothing that a run usually has is left out: dropout, batch statistics, augmentation, a schedule, the best by a metric.
USUAL: dict[str, Any] = {
    "model": {
        "net": {"type": f"{ROOMS}.Dropped"},
        "scheduler": {"type": "WarmupCosine", "warmup": 1},
        "clip": {"value": 1.0},
    },
    "data": {"train": {"augmentation": {"shift": {"type": "tests.rooms.RandomShift"}}}},
    "visual": "tests.rooms.Row",
    "checkpoint": {"monitor": "val/accuracy", "mode": "max", "save_time": 0.2},
    "trainer": {"limit_train_batches": 1.0},
}


class Training:
    """A training in processes of its own, all in one folder."""

    def __init__(self, folder: Path, **trainer: Any) -> None:
        self.folder, self.run = folder, folder / "experiments/tiny"
        tree = merge_all([TINY, USUAL, {"trainer": trainer}])
        (folder / "kills.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))

    def start(self) -> "subprocess.Popen[str]":
        """Trains, from the newest checkpoint if there is one."""
        command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", "kills.yaml", "--resume", "auto"]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def finish(self) -> Path:
        """Trains to the end, and returns the run's folder."""
        process = self.start()
        shown = process.communicate(timeout=300)[1]
        assert process.returncode == 0, shown
        return self.run


def wait_until_begun(process: "subprocess.Popen[str]") -> None:
    """Until the training enters its folder."""
    assert process.stderr is not None
    assert any("the run's folder is" in line for line in process.stderr)


@pytest.mark.slow
def test_ten_kills_at_random_moments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    Training(whole, max_epochs=300).finish()
    training, moments = Training(killed, max_epochs=300), random.Random(0)
    for _ in range(10):
        process, seconds = training.start(), moments.uniform(0.02, 1.2)
        wait_until_begun(process)
        time.sleep(seconds)
        process.kill()
        process.communicate()
        assert process.returncode == -9, "it had ended before the kill: train for longer"
        with capsys.disabled():
            newest = max((path.name for path in training.run.glob("checkpoints/epoch*")), default="nothing")
            print(f"\nkilled {seconds:.2f} s after it began; {newest} stands", end="")
    training.finish()
    assert differing(outcome(whole / "experiments/tiny"), outcome(training.run)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "callback",
    [
        {"type": f"{ROOMS}.Strike", "hook": "on_validation_batch_start", "count": 8, "what": "SIGKILL"},
        {"type": f"{ROOMS}.Strike", "hook": "on_train_epoch_end", "count": 2, "what": "SIGKILL"},
        {"type": f"{ROOMS}.KilledWhileWriting", "count": 3},
    ],
    ids=["in validation", "at an epoch's end", "in saving"],
)
def test_killed(callback: dict[str, Any], tmp_path: Path) -> None:
    training = Training(tmp_path, max_epochs=4, callbacks=[callback])
    (tmp_path / "struck.txt").touch()
    whole = shutil.move(training.finish(), tmp_path / "whole")
    (tmp_path / "struck.txt").unlink()
    process = training.start()
    process.communicate()
    assert process.returncode == -9
    assert differing(outcome(whole), outcome(training.finish())) == []
    assert not list(training.run.glob("checkpoints/.*"))
