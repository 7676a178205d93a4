"""The command `bisect`: exit codes, help, and mistakes, which get one to three lines."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from project.commands import main
from project.study.bisect import command
from project.study.bisect.bisecting import Answer
from tests.study.bisect import components
from tests.study.bisect.injections import config, train

CLI = Path(command.__file__).parents[3] / "cli.py"

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text())


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a directory with the runs that mistakes.yaml names."""
    for name, width in (("a", 1), ("b", 2), ("damaged", 1), ("new", 0), ("new2", 0)):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("name: a\nroot: b\nmodel: {}\ndata: {}\ntrainer: {}\n")
        content = {"state_dict": {"net.bias": torch.ones(width)}, "run_config": "", "global_step": 4}
        if width:
            torch.save(content, tmp_path / name / "checkpoints/epoch_0001_step_000004.ckpt")
    (tmp_path / "damaged/lineage.json").write_text("[]")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=[case["mistake"] for case in CASES])
def test_mistake_gets_its_message(case: dict[str, Any], runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = sorted(runs.rglob("*"))
    code = main(["bisect", *case["argv"].replace("TMP", str(runs)).split()])
    out, err = capfd.readouterr()
    assert (code, out, err) == (2, "", "error: " + case["message"].replace("TMP", str(runs)))
    assert sorted(runs.rglob("*")) == before


@pytest.mark.parametrize(("is_equal", "code"), [(True, 0), (False, 1)])
def test_answer_is_printed_and_is_the_exit_code(
    is_equal: bool, code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Names in a stranger's files do not reach the terminal as commands."""
    calls: list[Any] = []
    answer = Answer(["one", "two \x1b[31m"], is_equal=is_equal)

    def give(*arguments: object) -> Answer:
        calls.append(arguments)
        return answer

    monkeypatch.setattr(command, "bisect_runs", give)
    assert main(["bisect", "a", "b", "--trust"]) == code
    assert capfd.readouterr().out == "one\ntwo \\x1b[31m\n"
    assert calls == [(Path("a"), Path("b"), True)]


def test_help_names_the_options(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bisect", "--help"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("usage: python cli.py bisect RUN_A RUN_B [--trust]\n")
    assert "  --trust" in out


@pytest.mark.slow
def test_command_trains_again_in_processes_of_its_own(tmp_path: Path) -> None:
    """Nothing is left in the directory for temporary files, and the runs are not touched."""
    train(tmp_path, "a")
    train(tmp_path, "b", "--model.optimizer.lr", "0.011")
    (tmp_path / "tmp").mkdir()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    argv = [sys.executable, str(CLI), "bisect", str(tmp_path / "a"), str(tmp_path / "b"), "--trust"]
    done = subprocess.run(
        argv, capture_output=True, text=True, cwd=CLI.parent, env=os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("they part at step 1: lr 0.0")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != "tmp"} == {
        path: time for path, time in before.items() if path.name != "tmp"
    }
    assert [*(tmp_path / "tmp").iterdir()] == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_ends_the_replay_too(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """No process and no temporary directory is left."""
    train(tmp_path, "a")
    train(tmp_path, "b", "--model.optimizer.lr", "0.011")
    (scratch := tmp_path / "tmp").mkdir()
    argv = [sys.executable, str(CLI), "bisect", str(tmp_path / "a"), str(tmp_path / "b"), "--trust"]
    started = subprocess.Popen(
        argv, stdout=-1, stderr=-1, text=True, cwd=CLI.parent, env=os.environ | {"TMPDIR": str(scratch)}
    )
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
    while started.poll() is None and not (any(scratch.glob("bisect.*/log.txt")) and children.read_text()):
        time.sleep(0.02)
    assert started.poll() is None, started.communicate()
    workers = [int(child) for child in children.read_text().split()]
    started.send_signal(number)
    out, err = started.communicate(timeout=120)
    assert (started.returncode, out) == (code, ""), err
    assert "Traceback" not in err
    assert [*scratch.iterdir()] == []
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


@pytest.mark.slow
def test_one_process_and_two_are_compared_within_rounding(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With batch norm it is refused: each process normalizes its own part of the batch."""
    path = components.__name__
    for net in ("Plain", "Net"):
        settings = config(tmp_path)
        settings["model"]["net"] = {"type": f"{path}.{net}"}
        settings["data"]["train"] = {"type": f"{path}.Still"}
        settings["trainer"] |= {"strategy": "ddp"}
        (file := tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
        for count in ("1", "2"):
            argv = [sys.executable, str(CLI), "fit", "--config", str(file), "--name", net + count]
            argv += ["--trainer.devices", count]
            done = subprocess.run(argv, cwd=CLI.parent, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
    assert main(["bisect", str(tmp_path / "Plain1"), str(tmp_path / "Plain2")]) == 0
    out = capfd.readouterr().out
    assert out.startswith("equal within rounding: 30 values of 1 curve, 2 checkpoints (steps 24, 30)\n"), out
    assert "trained on 1 and 2 processes, which add in another order: within a relative difference of 1e-05" in out
    assert main(["bisect", str(tmp_path / "Net1"), str(tmp_path / "Net2")]) == 2
    assert "each process normalizes its own part of the batch (net.body.1.running_mean)" in capfd.readouterr().err
