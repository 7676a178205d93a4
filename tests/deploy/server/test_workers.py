"""Processes that share a socket: their deaths, and that of their parent."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.server.command import ROOT, Running, ended


@pytest.mark.slow
def test_workers_end_with_a_killed_parent(run: Callable[..., Running], body: bytes) -> None:
    """They answer first."""
    running = run("--workers", "2", seconds=0.5)
    status = running.predict(body)
    time.sleep(0.2)
    assert len(running.processes()) == 3
    running.process.kill()
    assert status() == 200
    running.wait_until(lambda: not running.processes())


@pytest.mark.slow
def test_dead_workers_are_replaced(run: Callable[..., Running], body: bytes) -> None:
    running = run("--workers", "2")
    parent = running.process.pid
    first, second = [pid for pid in running.processes() if pid != parent]
    os.kill(first, signal.SIGKILL)
    running.wait_until(lambda: len(running.processes()) == 3 and first not in running.processes())
    time.sleep(1)  # a worker that is not ready yet may not die
    os.kill(second, signal.SIGTERM)
    running.wait_until(lambda: len(running.processes()) == 3 and second not in running.processes())
    assert [running.send("POST", "/predict", body)[0] for _ in range(8)] == [200] * 8
    running.process.terminate()
    code, _, err = ended(running)
    assert code == 0
    ends = re.findall(r"WARNING worker \d \(process (\d+)\) ended with (.*); starting another\n", err)
    assert ends == [(str(first), "SIGKILL"), (str(second), "exit code 0")]


@pytest.mark.slow
def test_workers_that_fail_at_their_start_end_the_server(model: Path) -> None:
    script = """
import os, sys
from project.deploy.server import app
from project.deploy.server.main import main
app.Server.__init__ = lambda *_: os._exit(7)
sys.exit(main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", script, "--model", str(model), "--port", "0", "--workers", "2"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.endswith("ERROR   worker 0 ended with exit code 7 before it was ready; stopping\n")


@pytest.mark.slow
def test_worker_that_dies_during_a_stop_is_no_success(run: Callable[..., Running], body: bytes) -> None:
    """Its requests have no answer."""
    running = run("--workers", "2", seconds=5)
    running.predict(body)
    time.sleep(0.3)
    running.process.terminate()
    time.sleep(0.3)
    for process in [*running.processes()]:
        if process != running.process.pid:
            os.kill(process, signal.SIGKILL)
    assert ended(running)[0] == 1
