"""A stage builds its parts once and runs what it says, in one process and in two."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from project.core.cli import building, stage_building
from project.core.model.module import SupervisedModule
from project.core.run import resume
from project.core.training.lightning_internals.fast_steps import EvaluationLoop
from tests.conftest import CONFIGS, Cli


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Calls by function: `build_config`, `merge_all`, `torch.load`, and `load_state_dict` of the module."""
    calls: Counter[str] = Counter()

    def count(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    for module in (stage_building, resume, building):
        count(module, "build_config")
    count(stage_building, "merge_all")
    count(torch, "load")
    count(SupervisedModule, "load_state_dict")
    return calls


def test_config_is_built_once_and_a_checkpoint_is_read_once(
    cli: Cli, tiny: Callable[..., str], calls: Counter[str]
) -> None:
    config = tiny()
    assert cli("fit", "--config", config).code == 0
    assert calls == {"build_config": 1, "merge_all": 1}

    calls.clear()
    assert cli("fit", "--config", config, "--resume", "auto").code == 0
    # The saved config, and that of the yaml files for the warning about ignored changes.
    assert calls == {"build_config": 2, "merge_all": 1, "load": 1, "load_state_dict": 1}

    calls.clear()
    assert cli("fit", "--resume", "experiments/tiny", "--trainer.max_epochs", "2").code == 0
    assert calls == {"build_config": 1, "merge_all": 1, "load": 1, "load_state_dict": 1}

    calls.clear()
    assert cli("fit", "--config", config, "--resume", "auto", "--trainer.max_epochs", "3").code == 0
    assert calls == {"build_config": 2, "merge_all": 1, "load": 1, "load_state_dict": 1}

    calls.clear()
    ran = cli("fit", "--resume", "experiments/tiny", "--model.net.hidden", "9")
    assert (ran.code, "does not fit this model" in ran.err) == (2, True)

    calls.clear()
    assert cli("test", "--ckpt_path", "experiments/tiny").code == 0
    assert calls == {"build_config": 1, "load": 1, "load_state_dict": 1}

    calls.clear()
    argv = ["--name", "tuned", "--finetune", "experiments/tiny"]
    assert cli("fit", "--config", config, *argv).code == 0
    assert calls == {"build_config": 1, "merge_all": 1, "load": 1, "load_state_dict": 1}


@pytest.mark.parametrize("stage", ["test", "validate"])
def test_evaluation_stages_have_the_fast_loops(
    stage: str, cli: Cli, tiny: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    loops: list[object] = []
    run = getattr(pl.Trainer, stage)

    def recorded(trainer: pl.Trainer, *args: Any, **kwargs: Any) -> Any:
        loops.append(getattr(trainer, f"{stage}_loop"))
        return run(trainer, *args, **kwargs)

    monkeypatch.setattr(pl.Trainer, stage, recorded)
    ran = cli(stage, "--ckpt_path", "experiments/tiny")
    assert ran.code == 0, ran.err
    assert [type(loop) for loop in loops] == [EvaluationLoop]


def test_evaluation_stages_need_a_checkpoint_and_a_directory(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    (tmp_path / "file").write_text("")
    for stage in ("validate", "test", "predict"):
        ran = cli(stage)
        needs = f"{stage} needs --ckpt_path, a checkpoint or a run directory such as experiments/NAME"
        assert (ran.code, ran.err) == (2, f"error: {needs}\n")
        ran = cli(stage, "--ckpt_path", "experiments/tiny", "--results_dir", "file")
        taken = "results cannot be written to file: [Errno 17] File exists: 'file'; set --results_dir"
        assert (ran.code, ran.err) == (2, f"error: {taken}\n")
    ran = cli("test", "--ckpt_path", "experiments/tiny", "--results_dir", "here")
    assert (ran.code, (tmp_path / "here/metrics.json").exists()) == (0, True)
    assert not (tmp_path / "experiments/tiny/eval").exists()


def test_trial_saves_nothing_and_cannot_be_resumed(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    argv = ["fit", "--config", tiny({"visual": {"type": "tests.components.Row"}}), "--trainer.fast_dev_run", "true"]
    ran = cli(*argv)
    assert ran.code == 0, ran.err
    assert "trainer.fast_dev_run: nothing is saved" in ran.err
    assert not (tmp_path / "experiments").exists()
    assert cli("fit", "--config", tiny()).code == 0
    ran = cli(*argv, "--resume", "auto")
    error = "--resume continues a run, but trainer.fast_dev_run only tries the code"
    assert (ran.code, ran.err.splitlines()[-1]) == (2, f"error: {error}")


@pytest.mark.slow
def test_two_processes_write_one_run(tiny: Callable[..., str], tmp_path: Path) -> None:
    configs = ["--config", tiny({"visual": "tests.components.Row"}), "--config", str(CONFIGS / "presets/ddp.yaml")]
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", *configs, "--trainer.devices", "2"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("epoch 1/1") == 1
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]
    assert (tmp_path / "experiments/tiny/log.txt").read_text().count(" INFO    epoch 1/1") == 1
    assert len(list((tmp_path / "experiments/tiny/event").glob("events*"))) == 1
