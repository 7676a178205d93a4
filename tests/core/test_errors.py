"""Every mistake is told in one to three lines, with exit code 2, and leaves nothing behind."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from project.core.errors import did_you_mean, listing, note_where, where_raised
from project.registry import Registry
from tests.conftest import CONFIGS, Cli

CASES = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text())
IN_A_PROCESS = ("unknown option", "missing checkpoint")


@pytest.mark.usefixtures("short_names")
@pytest.mark.parametrize("case", CASES, ids=[case["what"] for case in CASES])
def test_mistake(case: dict[str, Any], cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    argv = arrange(case, tiny, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    ran = cli(*argv)
    assert (ran.code, ran.out) == (2, "")
    lines = [line for line in ran.err.splitlines() if not line[:2].isdigit()]  # log lines begin with the time
    assert "\n".join(lines) == message(case, tmp_path)
    assert 1 <= len(lines) <= 3
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("what", IN_A_PROCESS)
def test_mistake_in_a_process_of_its_own(what: str, tiny: Callable[..., str], tmp_path: Path) -> None:
    case = next(case for case in CASES if case["what"] == what)
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), *arrange(case, tiny, tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"LC_ALL": "C.UTF-8"})
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", message(case, tmp_path) + "\n")


def arrange(case: dict[str, Any], tiny: Callable[..., str], tmp_path: Path) -> list[str]:
    config = tiny(case.get("yaml"))
    for name, text in case.get("files", {}).items():
        (tmp_path / name).write_text(text)
    argv: str = case.get("argv", "fit --config CONFIG")
    return argv.replace("CONFIG", config).replace("TMP", str(tmp_path)).split()


def message(case: dict[str, Any], tmp_path: Path) -> str:
    text: str = case["says"]
    for registry in Registry.by_base.values() if "KNOWN" in text else ():
        text = text.replace(f"KNOWN {registry.kind}\n", f"{registry.known()}\n")
    return "error: " + text.replace("TMP", str(tmp_path)).strip()


class Boom:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {os.environ['BOOM']}",)


def test_malicious_checkpoint_runs_no_code(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOM", str(tmp_path / "boom"))
    torch.save({"state_dict": {}, "run_config": Boom()}, tmp_path / "evil.ckpt")
    ran = cli("test", "--ckpt_path", "evil.ckpt")
    assert ran.code == 2
    assert ran.err.startswith("error: checkpoint evil.ckpt holds more than plain data and was not loaded\n")
    assert len(ran.err.splitlines()) == 2
    assert not (tmp_path / "boom").exists()


def test_damaged_and_foreign_checkpoints(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    whole = tmp_path / "experiments/tiny/checkpoints/last.ckpt"
    (tmp_path / "half.ckpt").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    ran = cli("test", "--ckpt_path", "half.ckpt")
    assert ran.code == 2
    assert ran.err.startswith("error: checkpoint half.ckpt cannot be read: it is damaged or no checkpoint (")
    assert len(ran.err.splitlines()) == 1
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pt")
    ran = cli("test", "--ckpt_path", "weights.pt")
    assert ran.err == "error: weights.pt is not a checkpoint of a run: it has no `state_dict` and `run_config`\n"
    ran = cli("test", "--ckpt_path", "experiments/tiny", "--model.net.hidden", "9")
    assert ran.code == 2
    assert "does not fit this model\nsize mismatch for net.body.1.weight" in ran.err


def test_existing_run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    run = tmp_path / "experiments/tiny"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    ran = cli("fit", "--config", tiny())
    assert ran.code == 2
    assert ran.err == (
        f"error: {run} holds a run already: take another --name, or --replace to move it to {run.parent / '.old'}\n"
    )
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert [path.name for path in run.parent.iterdir()] == ["tiny"]


def test_missing_data_is_a_mistake(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"data": {"train": {"type": "tests.core.rooms.Filed"}, "data_dir": "nowhere"}})
    ran = cli("fit", "--config", config)
    assert (ran.code, ran.err.splitlines()[-1]) == (2, "error: data.train: no pictures in nowhere")
    assert not (tmp_path / "experiments").exists()


def test_a_mistake_found_late_keeps_what_there_is(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"trainer": {"callbacks": [{"type": "EarlyStopping", "monitor": "val/acuracy"}]}})
    ran = cli("fit", "--config", config)
    assert ran.code == 2
    assert "error: Early stopping conditioned on metric `val/acuracy` which is not available" in ran.err
    assert (tmp_path / "experiments/tiny/log.txt").exists()


def test_what_lightning_refuses_of_the_users_code_has_a_traceback(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny({"model": {"type": "tests.core.rooms.LogsVectors"}}))
    assert ran.code == 1
    assert "raised in training_step (" in ran.err
    assert "Traceback (most recent call last):" in ran.err


@pytest.mark.parametrize(
    ("over", "line"),
    [
        (
            {"model": {"net": {"type": "tests.core.rooms.BrokenNet"}}},
            "raised in model.net (BrokenNet), which got image (64, 1, 8, 8) float32",
        ),
        (
            {"model": {"loss": {"broken": {"type": "tests.core.rooms.BrokenLoss"}}}},
            "raised in model.loss.broken (BrokenLoss), which got logits (64, 10) float32, label (64,) int64",
        ),
        (
            {"data": {"train": {"type": "tests.core.rooms.BrokenDataset"}, "batch_size": 2}},
            "raised in data.train (BrokenDataset), samples ",
        ),
        (
            {"data": {"train": {"type": "tests.core.rooms.BrokenDataset"}, "batch_size": 2, "num_workers": 1}},
            "raised in data.train (BrokenDataset), samples ",
        ),
        ({"model": {"net": {"type": "tests.core.rooms.UnbuiltNet"}}}, "raised in __init__ ("),
        ({"model": {"optimizer": {"type": "tests.core.rooms.OwnOptimizer"}}}, "raised in model.optimizer"),
    ],
    ids=["net", "loss", "dataset", "dataset in a worker", "constructor", "optimizer"],
)
def test_an_exception_in_a_room(over: dict[str, Any], line: str, cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny(over))
    assert ran.code == 1
    lines = [text for text in ran.err.splitlines() if " ERROR " in text]
    assert len(lines) == 1
    assert lines[0].partition(" ERROR   ")[2].startswith(line)
    after = ran.err[ran.err.index(lines[0]) :].splitlines()
    assert after[1] == "Traceback (most recent call last):"
    assert "Error: on purpose" in ran.err


def test_the_exception_is_in_the_log(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    cli("fit", "--config", tiny({"model": {"net": {"type": "tests.core.rooms.BrokenNet"}}}))
    log = (tmp_path / "experiments/tiny/log.txt").read_text()
    assert "raised in model.net (BrokenNet), which got image (64, 1, 8, 8) float32\nTraceback" in log


def test_did_you_mean() -> None:
    assert did_you_mean("widht", ["depth", "width"]) == "; did you mean 'width'?"
    assert did_you_mean("cross_entrpy", ["CrossEntropy"]) == "; did you mean 'CrossEntropy'?"
    assert did_you_mean("zzz", ["depth", "width"]) == ""
    assert listing([]) == "none"


def test_where_raised_without_a_note() -> None:
    with pytest.raises(KeyError) as caught:
        raise KeyError("x")
    assert where_raised(caught.value).startswith(f"raised in test_where_raised_without_a_note ({__file__}:")
    note_where(caught.value, "here")
    assert where_raised(caught.value) == "raised in here"
