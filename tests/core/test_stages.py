import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import CONFIGS


@pytest.mark.slow
def test_two_processes_write_one_run(tiny: Callable[..., str], tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(CONFIGS.parent / "cli.py"),
        "fit",
        "--config",
        tiny({"visual": "ClassificationGrid"}),
        "--config",
        str(CONFIGS / "presets/ddp.yaml"),
    ]
    ran = subprocess.run(
        [*command, "--trainer.devices", "2"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("epoch 0/0") == 1
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]
    assert (tmp_path / "experiments/tiny/log.txt").read_text().count("epoch 0/0") == 1
    assert len(list((tmp_path / "experiments/tiny/event").glob("events*"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_was_told_to_stop_has_not_succeeded(
    number: signal.Signals, code: int, tiny: Callable[..., str], tmp_path: Path
) -> None:
    argv = ["--trainer.max_epochs", "100000"]
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", tiny(), *argv]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if (tmp_path / "experiments/tiny/checkpoints/last.ckpt").exists():
            break
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(timeout=60) == code
