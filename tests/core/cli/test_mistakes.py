"""A mistake of the user gets one to three lines and exit code 2; an error of the user's code gets a traceback."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import yaml
from lightning_fabric.utilities.exceptions import MisconfigurationException

from project.registry import Registry
from tests.conftest import CONFIGS, Cli, slow_except
from tests.core.components import LogsVectors

Case = dict[str, Any]
CASES: list[Case] = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text())


@pytest.mark.usefixtures("short_names")
@pytest.mark.parametrize("case", CASES, ids=[case["mistake"] for case in CASES])
def test_mistake_gets_its_message_and_leaves_no_files(
    case: Case, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    argv = arrange(case, tiny, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    ran = cli(*argv)
    assert (ran.code, ran.out) == (2, "")
    lines = [line for line in ran.err.splitlines() if not line[:2].isdigit()]  # log lines begin with the time
    assert "\n".join(lines) == expected(case, tmp_path)
    assert 1 <= len(lines) <= 3
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("mistake", slow_except(["unknown option", "missing checkpoint"], "missing checkpoint"))
def test_mistake_in_a_new_process_prints_nothing_else(mistake: str, tiny: Callable[..., str], tmp_path: Path) -> None:
    case = next(case for case in CASES if case["mistake"] == mistake)
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), *arrange(case, tiny, tmp_path)]
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", expected(case, tmp_path) + "\n")


def arrange(case: Case, tiny: Callable[..., str], tmp_path: Path) -> list[str]:
    """Write the files of a case and return its arguments."""
    config = tiny(case.get("yaml"))
    for name, text in case.get("files", {}).items():
        (tmp_path / name).write_text(text)
    argv: str = case.get("argv", "fit --config CONFIG")
    return argv.replace("CONFIG", config).replace("TMP", str(tmp_path)).split()


def expected(case: Case, tmp_path: Path) -> str:
    """Return the message of a case, with the paths and the known names of this run."""
    text: str = case["message"]
    for registry in Registry.by_base.values() if "KNOWN" in text else ():
        text = text.replace(f"KNOWN {registry.kind}\n", f"{registry.describe_known()}\n")
    return "error: " + text.replace("TMP", str(tmp_path)).strip()


class WithoutSteps(pl.LightningModule):
    """Module without a training step; its constructor has no arguments."""


class RunsCode:
    """Object that runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {os.environ['MARKER']}",)


def test_malicious_checkpoint_runs_no_code(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKER", str(tmp_path / "marker"))
    torch.save({"state_dict": {}, "run_config": RunsCode()}, tmp_path / "evil.ckpt")
    ran = cli("test", "--ckpt_path", "evil.ckpt")
    assert ran.code == 2
    assert ran.err.startswith("error: checkpoint evil.ckpt contains more than plain data and was not loaded\n")
    assert len(ran.err.splitlines()) == 2
    assert not (tmp_path / "marker").exists()


def test_damaged_foreign_and_mismatched_checkpoints_are_mistakes(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    whole = tmp_path / "experiments/tiny/checkpoints/last.ckpt"
    (tmp_path / "half.ckpt").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    ran = cli("test", "--ckpt_path", "half.ckpt")
    assert ran.code == 2
    assert ran.err.startswith("error: checkpoint half.ckpt cannot be read: it is damaged or not a checkpoint")
    assert len(ran.err.splitlines()) == 1
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pt")
    ran = cli("test", "--ckpt_path", "weights.pt")
    assert ran.err.splitlines() == [
        "error: weights.pt is not a checkpoint of a run: it has no `state_dict` and `run_config`",
        "Of bare weights, validate, test and predict need the --config; fit takes them with --finetune",
    ]
    ran = cli("test", "--ckpt_path", "experiments/tiny", "--model.net.hidden", "9")
    assert ran.code == 2
    assert "does not fit this model\nsize mismatch for net.body.1.weight" in ran.err


def test_existing_run_is_not_changed(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    run = tmp_path / "experiments/tiny"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    ran = cli("fit", "--config", tiny())
    assert ran.code == 2
    assert ran.err == (
        f"error: {run} already contains a run; use another --name, --resume auto, or --replace to move it to "
        f"{run.parent / '.old'}\n"
    )
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert [path.name for path in run.parent.iterdir()] == ["tiny"]


def test_missing_data_is_a_mistake(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"data": {"train": {"type": "tests.core.components.Filed"}, "data_dir": "nowhere"}})
    ran = cli("fit", "--config", config)
    assert (ran.code, ran.err.splitlines()[-1]) == (2, "error: data.train: no pictures in nowhere")
    assert not (tmp_path / "experiments").exists()


def test_mistake_found_after_a_step_keeps_the_run_directory(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"trainer": {"callbacks": [{"type": "EarlyStopping", "monitor": "val/accuracy/3", "mode": "max"}]}})
    ran = cli("fit", "--config", config)
    assert ran.code == 2
    assert "error: Early stopping conditioned on metric `val/accuracy/3` which is not available" in ran.err
    assert (tmp_path / "experiments/tiny/log.txt").exists()


class LogsTooEarly(LogsVectors):
    """Module that logs in a hook in which Lightning refuses it."""

    def on_fit_start(self) -> None:
        self.log("early", 1.0)


class LogsInSetup(LogsVectors):
    """Module that logs in `setup`, in which Lightning refuses it."""

    def setup(self, stage: str) -> None:
        self.log("early", 1.0)


class LogsTooEarlyCallback(pl.Callback):
    """Callback that logs in a hook in which Lightning refuses it."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("early", 1.0)


class Misconfigured(LogsVectors):
    """Module that raises Lightning's exception itself."""

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        raise MisconfigurationException("on purpose")


@pytest.mark.parametrize(
    ("over", "hook"),
    [
        ({"model": {"type": "tests.core.components.LogsVectors"}}, "training_step"),
        ({"model": {"type": "tests.core.cli.test_mistakes.Misconfigured"}}, "Misconfigured.training_step"),
        ({"model": {"type": "tests.core.cli.test_mistakes.LogsTooEarly"}}, "LogsTooEarly.on_fit_start"),
        ({"model": {"type": "tests.core.cli.test_mistakes.LogsInSetup"}}, "LogsInSetup.setup"),
        (
            {"trainer": {"callbacks": [{"type": "tests.core.cli.test_mistakes.LogsTooEarlyCallback"}]}},
            "LogsTooEarlyCallback.on_fit_start",
        ),
    ],
    ids=["step", "raised in a step", "hook of a module", "setup", "hook of a callback"],
)
def test_what_lightning_refuses_of_user_code_has_a_traceback(
    over: dict[str, Any], hook: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    ran = cli("fit", "--config", tiny(over))
    assert ran.code == 1
    assert f"raised in {hook} ({Path(__file__).parents[1]}" in ran.err
    assert "Traceback (most recent call last):" in ran.err
    assert "Traceback" in (tmp_path / "experiments/tiny/log.txt").read_text()


@pytest.mark.parametrize(
    ("over", "line"),
    [
        (
            {"model": {"net": {"type": "tests.core.components.BrokenNet"}}},
            "raised in model.net (BrokenNet), which got image (64, 1, 8, 8) float32",
        ),
        (
            {"model": {"loss": {"broken": {"type": "tests.core.components.BrokenLoss"}}}},
            "raised in model.loss.broken (BrokenLoss), which got logits (64, 10) float32, label (64,) int64",
        ),
        (
            {"data": {"train": {"type": "tests.core.components.BrokenDataset"}, "batch_size": 2}},
            "raised in data.train (BrokenDataset), samples ",
        ),
        (
            {"data": {"train": {"type": "tests.core.components.BrokenLength"}}},
            "raised in data.train (BrokenLength), while its samples were counted",
        ),
        (
            {"data": {"train": {"type": "tests.core.components.BrokenDataset"}, "batch_size": 2, "num_workers": 1}},
            "raised in data.train (BrokenDataset), samples ",
        ),
        (
            {"model": {"net": {"type": "tests.core.components.UnbuiltNet"}}},
            "raised in model.net (UnbuiltNet), while it was built",
        ),
        ({"model": {"optimizer": {"type": "tests.core.components.OwnOptimizer"}}}, "raised in model.optimizer"),
    ],
    ids=["net", "loss", "dataset", "length of a dataset", "dataset in a worker", "constructor", "optimizer"],
)
def test_error_of_a_component_has_its_location_and_a_traceback(
    over: dict[str, Any], line: str, cli: Cli, tiny: Callable[..., str]
) -> None:
    ran = cli("fit", "--config", tiny(over))
    assert ran.code == 1
    lines = [text for text in ran.err.splitlines() if " ERROR " in text]
    assert len(lines) == 1
    assert lines[0].partition(" ERROR   ")[2].startswith(line)
    after = ran.err[ran.err.index(lines[0]) :].splitlines()
    assert after[1] == "Traceback (most recent call last):"
    assert "Error: on purpose" in ran.err


def test_error_of_a_component_is_in_the_log(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    cli("fit", "--config", tiny({"model": {"net": {"type": "tests.core.components.BrokenNet"}}}))
    log = (tmp_path / "experiments/tiny/log.txt").read_text()
    assert "raised in model.net (BrokenNet), which got image (64, 1, 8, 8) float32\nTraceback" in log
