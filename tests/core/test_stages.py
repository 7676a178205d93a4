import subprocess
import sys
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
        tiny({"visual": "tests.rooms.Row"}),
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
