"""A stage in a forked process is as one in a new process, and gets the signals of its parent."""

import gc
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from project.core.distributed.signals import PREEMPTED, Interruption, restoring_signals
from project.study.sweep import process
from project.study.sweep.process import CLI, Children, run_stage

Main = Callable[[Sequence[str], Interruption, Any], int]


def run(main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    """Run a stage whose `main` is another function; return its exit code and what it printed."""
    monkeypatch.setattr(process, "main", main)
    code = run_stage(words, tmp_path / "log.txt")
    return code, (tmp_path / "log.txt").read_text()


def test_a_stage_finds_what_cli_prepares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning starts further processes with sys.argv; signals, collection of garbage and output are as in cli.py."""

    def main(argv: Sequence[str], interruption: Interruption, pruning: object) -> int:
        is_own = signal.getsignal(signal.SIGTERM) == interruption._handle
        is_blocked = bool(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        print(sys.argv, is_own, is_blocked, ctrl_c, gc.isenabled(), gc.get_freeze_count() > 0, sys.stdout.isatty())
        return 7

    with restoring_signals():
        Children().install()
        code, printed = run(main, tmp_path, monkeypatch, "fit", "--name", "a")
    assert (code, printed) == (7, f"{[str(CLI), 'fit', '--name', 'a']} True False True False True False\n")


def test_two_stages_draw_different_numbers_and_leave_the_parents_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new process has generators with seeds of their own, and not those that its parent happens to have."""

    def main(argv: Sequence[str], interruption: Interruption, pruning: object) -> int:
        print(random.random(), np.random.rand(), torch.rand(1).item())
        return 0

    before = random.getstate()
    run(main, tmp_path, monkeypatch)
    one, two = (line.split() for line in run(main, tmp_path, monkeypatch)[1].splitlines())
    assert not {*one} & {*two}
    assert random.getstate() == before


@pytest.mark.parametrize(
    ("fails", "code"),
    [
        (lambda *_: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL),
        (lambda *_: [][0], 1),
        (lambda *_: sys.exit(0), 1),
    ],
    ids=["killed", "exception", "SystemExit"],
)
def test_end_of_a_stage_is_its_exit_code(
    fails: Main, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends the process of a stage, the worker goes on."""
    assert run(fails, tmp_path, monkeypatch)[0] == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_first_signal_is_passed_on(number: int) -> None:
    """A preempted worker lets its run save; the signal is not lost although it comes right after the start."""

    def wait() -> int:
        interruption = Interruption()
        interruption.install()
        end = time.monotonic() + 10
        while not interruption.number and time.monotonic() < end:
            time.sleep(0.01)
        return PREEMPTED if interruption.number in (number, signal.SIGTERM) else 1

    with restoring_signals():
        children = Children()
        children.install()
        started = children.start(wait)
        signal.raise_signal(number)
        assert (children.wait(started), children.number) == (PREEMPTED, number)


def test_second_ctrl_c_kills() -> None:
    """Whoever presses Ctrl-C twice does not want to wait for a checkpoint."""

    def ignore() -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(10)
        return 0

    with restoring_signals():
        children = Children()
        children.install()
        started = children.start(ignore)
        signal.raise_signal(signal.SIGINT)
        assert children.poll(started) is None
        signal.raise_signal(signal.SIGINT)
        assert children.wait(started) == -signal.SIGKILL


@pytest.mark.slow
def test_stage_where_a_fork_is_not_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, macOS and after the use of a GPU, a new process is started."""
    monkeypatch.setattr(process, "can_fork", lambda: False)
    log = tmp_path / "log.txt"
    assert run_stage(["fit", "--help"], log) == 0
    assert "--resume" in log.read_text()
    assert run_stage(["fit", "--nmae", "a"], log) == 2
