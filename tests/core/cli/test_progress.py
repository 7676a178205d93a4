"""Progress is a bar on a terminal and a line per epoch elsewhere; values are read from the device seldom."""

import os
import pty
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from loguru import logger
from torch import Tensor

from project.core.cli.main import main
from project.core.cli.progress import EpochLogger, ProgressBar, is_terminal, logged_values
from tests.conftest import Cli


def call_on_a_terminal(*argv: str) -> tuple[int, bytes]:
    """Call the command line in a forked process, which has imported torch; return its exit code and what it shows."""
    process, terminal = pty.fork()
    if process == 0:
        code = 1
        try:
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")  # pytest replaced them
            code = main([*argv])
            sys.stdout.flush()
        finally:
            os._exit(code)
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown


def test_terminal_gets_a_bar_and_the_log_gets_lines(
    tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(tmp_path)
    code, shown = call_on_a_terminal("fit", "--config", tiny(), "--trainer.max_epochs", "2")
    assert code == 0, shown
    assert b"Epoch 1/1" in shown
    assert b"2/2" in shown
    assert b"epoch 1/1" not in shown
    assert "DEBUG   epoch 1/1" in (tmp_path / "experiments/tiny/log.txt").read_text()


def test_bar_of_the_yaml_works_without_a_terminal(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": [{"type": "RichProgressBar"}]}}))
    assert ran.code == 0, ran.err


def test_tests_have_no_terminal() -> None:
    assert not is_terminal()


def test_bar_reads_values_once_per_logging_interval() -> None:
    reads: list[int] = []

    class Metrics(dict[str, Tensor]):
        def items(self) -> Any:
            reads.append(1)
            return {"train/sum": torch.tensor(0.5)}.items()

    trainer: Any = SimpleNamespace(log_every_n_steps=10, validating=False, callback_metrics=Metrics())
    bar = ProgressBar()
    for step in range(20):
        trainer.global_step = step
        assert bar.get_metrics(trainer, None) == {"train/sum": 0.5}  # type: ignore[arg-type]
    assert len(reads) == 2
    trainer.validating = True
    bar.get_metrics(trainer, None)  # type: ignore[arg-type]
    assert len(reads) == 3


def test_logged_values_are_the_scalars() -> None:
    metrics = {"val/sum": torch.tensor(0.5), "one": torch.tensor([2]), "many": torch.zeros(2)}
    trainer: Any = SimpleNamespace(callback_metrics=metrics)
    assert logged_values(trainer) == {"val/sum": 0.5, "one": 2.0}


def test_long_epoch_gets_a_line_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    metrics = {"train/sum": torch.tensor(0.12345)}
    trainer: Any = SimpleNamespace(
        callback_metrics=metrics, is_global_zero=True, max_epochs=-1, current_epoch=3, num_training_batches=100
    )
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="INFO", format="{message}")
    try:
        epochs: Any = EpochLogger("INFO")
        epochs.on_train_start(trainer, None)
        for batch in range(100):
            now = float(batch)
            epochs.on_train_batch_end(trainer, None, None, None, batch)
        epochs.on_train_epoch_end(trainer, None)
        trainer.is_global_zero, trainer.max_epochs = False, 8
        epochs.on_train_epoch_end(trainer, None)
        trainer.is_global_zero = True
        epochs.on_train_epoch_end(trainer, None)
    finally:
        logger.remove(sink)
    assert lines == [
        "epoch 3/?   batch 32/100   train/sum 0.1235\n",
        "epoch 3/?   batch 63/100   train/sum 0.1235\n",
        "epoch 3/?   batch 94/100   train/sum 0.1235\n",
        "epoch 3/?   99.0 s   train/sum 0.1235\n",
        "epoch 3/7   99.0 s   train/sum 0.1235\n",
    ]
