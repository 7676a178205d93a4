import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from project.core.progress_bar import Bar
from tests.conftest import CONFIGS, Cli


def test_a_bar_on_a_terminal_and_lines_in_the_log(tiny: Callable[..., str], tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", tiny(), "--trainer.max_epochs", "2"]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=tmp_path, env=os.environ | {"TERM": "xterm"})
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait() == 0
    assert b"Epoch 1/1" in shown
    assert b"2/2" in shown
    assert b"epoch 1/1" not in shown
    assert "DEBUG   epoch 1/1" in (tmp_path / "experiments/tiny/log.txt").read_text()


def test_a_bar_that_the_yaml_names_off_a_terminal(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": [{"type": "RichProgressBar"}]}}))
    assert ran.code == 0, ran.err


def test_values_are_read_once_per_interval() -> None:
    reads: list[int] = []

    class Metrics(dict[str, Any]):
        def items(self) -> Any:
            reads.append(1)
            return {"train/sum": torch.tensor(0.5)}.items()

    trainer: Any = SimpleNamespace(log_every_n_steps=10, validating=False, callback_metrics=Metrics())
    bar = Bar()
    for step in range(20):
        trainer.global_step = step
        assert bar.get_metrics(trainer, None) == {"train/sum": 0.5}  # type: ignore[arg-type]
    assert len(reads) == 2
