"""What other systems lack is not needed: these tests run on Linux without it."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

import project
from project.core.data import workers
from tests.conftest import CONFIGS

DIGITS = f"{project.__name__}.datasets.digits"  # a project may have deleted the examples
# Trains, resumes and tests without the modules and names that Windows does not have.
WITHOUT = f"""
import os, signal, sys
import asyncio, multiprocessing.pool, subprocess, torch, pytorch_lightning  # these know what the system lacks
sys.modules["fcntl"] = sys.modules["resource"] = None
for module, names in (
    (signal, "SIGHUP SIGUSR1 SIGUSR2 SIGALRM SIGCHLD SIGPIPE alarm setitimer sigwait pthread_sigmask"),
    (os, "fork register_at_fork sched_getaffinity sched_setaffinity O_NOFOLLOW"),
):
    for name in names.split():
        delattr(module, name)
from {project.__name__}.commands import main
for argv in (
    ["fit", "--config", "configs/digits.yaml", "--root", "ROOT", *sys.argv[1:]],
    ["fit", "--resume", "ROOT/digits", "--trainer.max_epochs", "2"],
    ["test", "--ckpt_path", "ROOT/digits"],
    ["export", "--ckpt_path", "ROOT/digits", "--formats", "onnx"],
    ["predict", "--ckpt_path", "ROOT/digits/export/model.onnx"]
    + ["--data.predict.type", "Digits", "--data.predict.split", "val"],
    ["table", "ROOT"],
    ["report", "ROOT/digits"],
):
    code = main([word.replace("ROOT", os.environ["ROOT"]) for word in argv])
    assert code == 0, argv
import {project.__name__}.study.sweep.command, {project.__name__}.study.find.command
import {project.__name__}.deploy.server.running, {project.__name__}.study.replay.command
"""


@pytest.mark.slow
def test_a_run_needs_nothing_that_windows_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fit, resume, test, export, predict, table and report work, and the other commands can be imported."""
    pytest.importorskip(DIGITS)
    monkeypatch.setenv("ROOT", str(tmp_path))
    short = ["--trainer.max_epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *short], cwd=CONFIGS.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


START = f"""
import multiprocessing, sys
from {project.__name__}.commands import main
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv.pop(1))
    sys.exit(main())
"""


def train(method: str, root: Path) -> str:
    """Return the states of a run whose worker is started by a method."""
    script = root / f"{method}.py"
    script.write_text(START, encoding="utf-8")
    command = [sys.executable, str(script), method, "fit", "--config", "configs/digits.yaml", "--name", method]
    options = ["--root", str(root), "--trainer.max_epochs", "1", "--data.num_workers", "1"]
    environment = {"PYTHONPATH": str(CONFIGS.parent)}
    subprocess.run([*command, *options], cwd=CONFIGS.parent, env=environment, check=True, capture_output=True)
    return (root / method / "states.jsonl").read_text(encoding="utf-8")


@pytest.mark.slow
def test_workers_can_be_spawned(tmp_path: Path) -> None:
    """As macOS and Windows start them: the datasets are sent to them. The result is that of a fork."""
    pytest.importorskip(DIGITS)
    assert train("spawn", tmp_path) == train("fork", tmp_path)


def test_workers_are_forked_on_linux_unless_the_user_chose_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.14 would start them by `forkserver`."""
    chosen: str | None = None
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none: chosen)
    monkeypatch.setattr("sys.platform", "linux")
    assert workers.start_method() == "fork"
    chosen = "forkserver"
    assert workers.start_method() == "fork"
    chosen = "spawn"
    assert workers.start_method() is None
    chosen = None
    for system in ("darwin", "win32"):
        monkeypatch.setattr("sys.platform", system)
        assert workers.start_method() is None
