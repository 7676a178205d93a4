"""Whole sweeps: their runs equal runs alone, whatever kills them."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from project.commands import main
from project.study.runs import find_runs
from project.study.sweep import jobs
from tests.conftest import CONFIGS, TINY
from tests.exactness import differing, outcome

CLI = str(CONFIGS.parent / "cli.py")
SWEEP = {"grid": {"model.optimizer.lr": [0.01, 0.02, 0.03]}, "seeds": 2}
USUAL: dict[str, Any] = {
    "model": {"net": {"type": "tests.core.random_components.Dropped"}},
    "data": {"train": {"augmentation": {"shift": {"type": "tests.components.RandomShift"}}}},
    "checkpoint": {"monitor": "val/accuracy", "mode": "max", "save_time": 0.2},
    "trainer": {"limit_train_batches": 1.0, "max_epochs": 6},
}


def write(tmp_path: Path, sweep: dict[str, Any], over: dict[str, Any] | None = None) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({"base": "base.yaml", **(over or {})}, sort_keys=False))
    (tmp_path / "lr.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))


def start(tmp_path: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, CLI, "sweep", "--config", "tiny.yaml", "--sweep", "lr.yaml", *options]
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=tmp_path, **pipes)


def finish(tmp_path: Path, *options: str) -> Path:
    process = start(tmp_path, *options)
    shown = process.communicate(timeout=600)[1]
    assert process.returncode == 0, shown
    return tmp_path / "experiments/lr"


def results(sweep: Path) -> dict[str, Any]:
    """Return the metrics of the test of each run."""
    return {file.parts[-4]: json.loads(file.read_text()) for file in sorted(sweep.glob("*/eval/test/metrics.json"))}


def test_failed_run_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A mistake in one combination does not end the night's sweep, and its message is in the log of the sweep."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "warm_up", lambda experiment: None)  # saves time
    write(tmp_path, {"grid": {"model.net.hidden": [8, -1]}}, {"data": {"eval": None}})
    assert main(["sweep", "--config", "tiny.yaml", "--sweep", "lr.yaml"]) == 1
    shown = capfd.readouterr().err
    assert "0001: failed after" in shown
    assert "RuntimeError: Trying to create tensor with negative dimension -1" in shown
    assert ": 1 finished, 1 failed" in shown
    assert not (tmp_path / "experiments/lr/0001").exists()
    assert json.loads((tmp_path / "experiments/lr/0000/summary.json").read_text())["state"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("count", ["1", "2"])
def test_run_of_a_sweep_equals_a_run_alone(count: str, tmp_path: Path) -> None:
    """A fork has the state of a new process: seeds, threads, registries; no trace of the sweep is in the run."""
    write(tmp_path, SWEEP, USUAL)
    sweep = finish(tmp_path, "--jobs", count)
    own = ["--root", "alone", "--name", "0001_seed1", "--model.optimizer.lr", "0.02", "--seed", "1"]
    command = [sys.executable, CLI, "fit", "--config", "tiny.yaml", *own]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    command = [sys.executable, CLI, "test", "--trust", "--ckpt_path", "alone/0001_seed1"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    one, two = sweep / "0001_seed1", tmp_path / "alone/0001_seed1"
    assert differing(outcome(one), outcome(two)) == []
    assert (one / "eval/test/samples.csv").read_text() == (two / "eval/test/samples.csv").read_text()
    configs = [yaml.safe_load((run / "config.yaml").read_text()) for run in (one, two)]
    assert [config.pop("root") for config in configs] == ["experiments/lr", "alone"]
    assert configs[0] == configs[1]


@pytest.mark.slow
def test_sweep_whose_processes_are_killed_ten_times(tmp_path: Path) -> None:
    """kill -9 of everything at random moments: the finished sweep has the same runs, bits and results."""
    over = {**USUAL, "trainer": {"limit_train_batches": 1.0, "max_epochs": 40}}
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, SWEEP, over)
    undisturbed = finish(tmp_path / "undisturbed", "--jobs", "2")
    moments = random.Random(0)
    for _ in range(10):
        process = start(tmp_path / "killed", "--jobs", "2")
        assert process.stderr is not None
        assert any("starts" in line or "continues" in line for line in process.stderr)
        time.sleep(moments.uniform(0.02, 1.0))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the sweep ended before the kill; train for longer"
    killed = finish(tmp_path / "killed", "--jobs", "2")
    runs, others = ([run.name for run in find_runs(sweep)] for sweep in (undisturbed, killed))
    assert (runs, len(runs)) == (others, 6)
    for run in runs:
        assert differing(outcome(undisturbed / run), outcome(killed / run)) == []
    assert results(undisturbed) == results(killed)
    assert len(results(killed)) == 6


@pytest.mark.slow
def test_killed_worker_and_killed_run_are_replaced(tmp_path: Path) -> None:
    """The kernel kills the largest process when the memory is full: a run, or a worker; the other work goes on."""
    write(tmp_path, SWEEP, USUAL | {"trainer": {"max_epochs": 200}})
    process = start(tmp_path, "--jobs", "2")
    assert process.stderr is not None
    lines = [next(process.stderr) for _ in range(2)]
    assert all("starts" in line for line in lines), lines
    first, second = children_of(process.pid)
    os.kill(first, signal.SIGKILL)
    time.sleep(1)
    os.kill(children_of(second)[0], signal.SIGKILL)
    shown = process.communicate(timeout=600)[1]
    assert process.returncode == 1
    assert "a worker was killed by SIGKILL; another one takes its place" in shown
    assert ": 5 finished, 1 failed" in shown
    assert "killed by SIGKILL, as when the memory is full" in shown
    process = start(tmp_path, "--retry_failed")
    shown = process.communicate(timeout=600)[1]
    assert (process.returncode, shown.count("continues"), shown.count("starts")) == (0, 1, 0), shown


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
@pytest.mark.parametrize("count", ["1", "2"])
def test_preempted_sweep_saves_and_continues(number: int, code: int, count: str, tmp_path: Path) -> None:
    write(tmp_path, SWEEP, USUAL | {"trainer": {"max_epochs": 1000}})
    process = start(tmp_path, "--jobs", count)
    assert process.stderr is not None
    assert "starts" in next(process.stderr)
    run = tmp_path / "experiments/lr/0000_seed0"
    while not (run / "summary.json").exists():
        time.sleep(0.05)
    process.send_signal(number)
    shown = process.communicate(timeout=60)[1]
    assert process.returncode == code, shown
    assert json.loads((run / "summary.json").read_text())["state"] == "stopped"
    assert (run / "checkpoints/last.ckpt").exists()


@pytest.mark.slow
def test_run_on_two_processes(tmp_path: Path) -> None:
    """Lightning starts the second process of a run with the words of its command line."""
    trainer = {"trainer": {"devices": 2, "strategy": "ddp"}}
    write(tmp_path, {"grid": {"model.optimizer.lr": [0.01]}}, trainer)
    sweep = finish(tmp_path)
    assert "Starting with 2 processes" in (sweep / ".sweep/0000.txt").read_text()
    assert (sweep / "0000/eval/test/metrics.json").exists()


def children_of(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
