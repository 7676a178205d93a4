"""What other systems lack is not needed: these tests run on Linux without it."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

import project
from project.core.data import workers
from tests.conftest import CONFIGS

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
    monkeypatch.setenv("ROOT", str(tmp_path))
    short = ["--trainer.max_epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *short], cwd=CONFIGS.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_can_be_started_in_every_way(method: str, tmp_path: Path) -> None:
    """macOS and Windows spawn workers, to which the datasets are sent; the result is that of a fork."""
    script = tmp_path / "start.py"
    script.write_text(
        f"import multiprocessing, sys\n"
        f"from {workers.__name__} import start_method\n"
        f"if __name__ == '__main__':\n"
        f"    multiprocessing.set_start_method(sys.argv.pop(1))\n"
        f"    from {project.__name__}.commands import main\n"
        f"    sys.exit(main())\n",
        encoding="utf-8",
    )
    options = ["--root", str(tmp_path), "--trainer.max_epochs", "1", "--data.num_workers", "1"]
    for name in (method, "fork"):
        command = [
            sys.executable,
            str(script),
            name,
            "fit",
            "--config",
            "configs/digits.yaml",
            "--name",
            name,
            *options,
        ]
        environment = {"PYTHONPATH": str(CONFIGS.parent)}
        subprocess.run(command, cwd=CONFIGS.parent, env=environment, check=True, capture_output=True)
    states = [(tmp_path / name / "states.jsonl").read_text(encoding="utf-8") for name in (method, "fork")]
    assert states[0] == states[1]


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
