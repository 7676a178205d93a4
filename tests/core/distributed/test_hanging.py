"""A run whose dataset hangs ends soon after a signal, saves what it can, and leaves no process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from project.core.distributed import signals
from tests.conftest import CONFIGS, Cli
from tests.core.run.test_exact_resume import RANDOM
from tests.exactness import differing, outcome


def settings(split: str, workers: int, **arguments: Any) -> dict[str, Any]:
    """Return settings of a run in which the dataset of a split hangs; checkpoints are saved before validations only."""
    lengths = {"train": 42, "val": 20, "eval": 11}
    hanging = {split: {"type": "tests.core.random_components.Hanging", "length": lengths[split]} | arguments}
    return RANDOM | {"checkpoint": {"keep": 2}, "data": RANDOM["data"] | hanging | {"num_workers": workers}}


@pytest.mark.parametrize(
    ("split", "workers", "number", "code", "step"),
    [
        ("train", 1, "SIGTERM", 75, 2),
        pytest.param("train", 0, "SIGINT", 130, 2, marks=pytest.mark.slow),
        pytest.param("train", 2, "SIGUSR2", 75, 2, marks=pytest.mark.slow),
        pytest.param("val", 1, "SIGINT", 130, 5, marks=pytest.mark.slow),
        pytest.param("eval", 1, "SIGTERM", 75, 5, marks=pytest.mark.slow),
    ],
)
def test_run_ends_and_is_resumed_exactly(
    split: str,
    workers: int,
    number: str,
    code: int,
    step: int,
    cli: Cli,
    tiny: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signals, "_LONGEST_WAIT", 0.0)
    monkeypatch.setattr(signals, "_CHECK_INTERVAL", 0.3)
    over = settings(split, workers, at=9, signals=number) | {"evaluation": {"every_n_epochs": 1}}
    config = tiny(over)
    (tmp_path / "struck.txt").touch()  # the dataset does not hang
    assert cli("fit", "--config", config).code == 0
    uninterrupted = outcome((tmp_path / "experiments/tiny").rename(tmp_path / "uninterrupted"))
    (tmp_path / "struck.txt").unlink()
    ran = cli("fit", "--config", config)
    assert ran.code == code, ran.err
    assert f"stopped by {number} while it waited for a batch, which did not come" in ran.err
    assert "Traceback" not in ran.err
    run = tmp_path / "experiments/tiny"
    assert max(int(path.stem[-6:]) for path in (run / "checkpoints").glob("epoch*")) == step
    ran = cli("fit", "--config", config, "--resume", "auto")
    assert ran.code == 0, ran.err
    assert differing(uninterrupted, outcome(run)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "how", "number", "code"),
    [
        ("fit", "sleep", signal.SIGINT, 130),
        ("fit", "c", signal.SIGTERM, 75),
        ("fit", "ignore", signal.SIGUSR2, 75),
        ("fit", "sleep", signal.SIGKILL, -9),
        ("test", "sleep", signal.SIGINT, 130),
        ("test", "c", signal.SIGTERM, 143),
        ("validate", "c", signal.SIGINT, 130),
        ("predict", "ignore", signal.SIGTERM, 143),
    ],
)
def test_signal_ends_all_processes_within_ten_seconds(
    stage: str, how: str, number: signal.Signals, code: int, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Two workers hang or wait; they ignore the signals that the terminal sends to all processes."""
    split = {"fit": "train", "validate": "val"}.get(stage, "eval")
    config = tiny(settings(split, 2, at=9, how=how))
    argv = ["fit", "--config", config]
    if stage != "fit":
        (tmp_path / "struck.txt").touch()
        assert cli(*argv).code == 0
        (tmp_path / "struck.txt").unlink()
        argv = [stage, "--trust", "--ckpt_path", "experiments/tiny"]
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), *argv]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    end = time.monotonic() + 60
    while time.monotonic() < end and not (tmp_path / "struck.txt").exists():
        time.sleep(0.1)
    time.sleep(1)
    start = time.monotonic()
    (os.kill if number == signal.SIGKILL else os.killpg)(process.pid, number)
    shown = process.communicate(timeout=30)[1]  # ends when no process has the pipe
    assert process.returncode == code, shown
    assert time.monotonic() - start < 10
    shown = subprocess.run(["ps", "-eo", "sid,stat,args"], capture_output=True, text=True, check=True).stdout
    left = [line.split() for line in shown.splitlines() if line.split()[0] == str(process.pid)]
    assert [words for words in left if not words[1].startswith("Z")] == []
