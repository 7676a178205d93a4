"""Pruning: a run whose monitored value is not promising ends after a validation, says so, and can be resumed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import project
from tests.conftest import CONFIGS, Cli
from tests.exactness import differing, outcome

STRIKE = "tests.core.random_components.Strike"
WHY = "it is not promising"


class Judge:
    """Pruning that ends a run at a step.

    Args:
        last: the step; None ends none.
    """

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        self.reported: list[tuple[int, float]] = []

    def reports(self, step: int, value: float) -> str | None:
        """Keep what is reported."""
        self.reported.append((step, value))
        return WHY if step == self.last else None


def read(run: Path) -> dict[str, Any]:
    """Return summary.json of a run."""
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return summary


def test_pruned_run_says_so(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """A sweep leaves it out of means."""
    config, run = tiny({"trainer": {"max_epochs": 3}}), tmp_path / "experiments/tiny"
    judge = Judge(last=4)
    ran = cli("fit", "--config", config, pruning=judge)
    assert ran.code == 0, ran.err
    assert [step for step, _ in judge.reported] == [2, 4]
    summary, value = read(run), judge.reported[-1][1]
    assert (summary["state"], summary["steps"], summary["epochs"]) == ("pruned", 4, 2)
    assert summary["reason"] == f"val/sum is {value:.4g} after step 4: {WHY}"
    assert summary["best"]["value"] == min(value for _, value in judge.reported)
    assert f"pruned: {summary['reason']}" in ran.err
    assert "finished" not in ran.err
    assert "continue: python cli.py fit --resume experiments/tiny" in ran.err
    assert (run / "checkpoints/epoch_0001_step_000004.ckpt").samefile(run / "checkpoints/last.ckpt")


@pytest.mark.slow
def test_pruned_run_can_be_resumed(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """A person who wants it to go on gets the run as it would be."""
    config, run = tiny({"trainer": {"max_epochs": 3}}), tmp_path / "experiments/tiny"
    judge, again = Judge(last=4), Judge(last=4)
    assert cli("fit", "--config", config, pruning=judge).code == 0
    assert cli("fit", "--resume", "experiments/tiny", pruning=again).code == 0
    assert again.reported == judge.reported[-1:]
    assert read(run)["state"] == "pruned"
    assert cli("fit", "--resume", "experiments/tiny").code == 0
    assert (read(run)["state"], read(run)["steps"]) == ("finished", 6)
    cli("fit", "--config", config, "--name", "alone")
    assert differing(outcome(run), outcome(tmp_path / "experiments/alone")) == []


@pytest.mark.parametrize(
    ("trainer", "steps"),
    [
        pytest.param({"max_epochs": 2}, [2, 4], marks=pytest.mark.slow),
        pytest.param({"max_epochs": 9, "max_steps": 4}, [2, 4], marks=pytest.mark.slow),
        ({"max_epochs": 2, "val_check_interval": 1, "num_sanity_val_steps": 1}, [1, 2, 3, 4]),
    ],
)
def test_run_that_has_reached_its_end_is_not_pruned(
    trainer: dict[str, Any], steps: list[int], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Its training is paid for; and the sanity validation is no result."""
    judge = Judge(last=4)
    assert cli("fit", "--config", tiny({"trainer": trainer}), pruning=judge).code == 0
    assert [step for step, _ in judge.reported] == steps
    assert read(tmp_path / "experiments/tiny")["state"] == "finished"


@pytest.mark.slow
def test_value_logged_at_the_end_of_an_epoch_is_reported_there(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """The value of the previous epoch would be reported at the validation."""
    config = tiny({"trainer": {"max_epochs": 3}, "checkpoint": {"monitor": "train/sum"}})
    judge = Judge(last=4)
    assert cli("fit", "--config", config, pruning=judge).code == 0
    summary = read(tmp_path / "experiments/tiny")
    assert summary["state"] == "pruned"
    assert min(value for _, value in judge.reported) == summary["best"]["value"]
    assert [step for step, _ in judge.reported] == [2, 4]


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["on_validation_start", "on_validation_end", "on_train_batch_start"])
def test_preempted_run_reports_the_values_of_an_undisturbed_one(
    hook: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Otherwise, whether a run is pruned would depend on when it was stopped."""
    trainer = {"max_epochs": 5}
    whole, parts = Judge(last=8), Judge(last=8)
    cli("fit", "--config", tiny({"trainer": trainer}), "--name", "whole", pruning=whole)
    strike = {"type": STRIKE, "hook": hook, "count": 2, "what": "SIGTERM"}
    config = tiny({"trainer": trainer | {"callbacks": [strike]}}, "parts.yaml")
    assert cli("fit", "--config", config, pruning=parts).code == 75
    assert cli("fit", "--config", config, "--resume", "auto", pruning=parts).code == 0
    assert sorted({*parts.reported}) == whole.reported
    runs = [tmp_path / "experiments" / name for name in ("whole", "tiny")]
    summaries = [{**read(run), "seconds": 0} for run in runs]
    assert summaries[0] == summaries[1]
    assert summaries[0]["state"] == "pruned"
    assert [path for path in differing(*map(outcome, runs)) if ".callbacks.Strike" not in path] == []


@pytest.mark.parametrize(
    "over",
    [{"trainer": {"enable_checkpointing": False}}, pytest.param({"data": {"val": None}}, marks=pytest.mark.slow)],
)
def test_pruner_without_a_monitored_value_is_refused(
    over: dict[str, Any], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """No run would ever be pruned, without a word."""
    ran = cli("fit", "--config", tiny(over), pruning=Judge())
    assert ran.code == 2
    assert ran.err.startswith("error: a pruner needs a monitored value")
    assert not (tmp_path / "experiments").exists()


# Lightning starts rank 1 with the same command, but nobody gives it the object that decides.
TWO_RANKS = """
import os, sys
from project.core.cli.main import main
from tests.core.run.test_pruning import Judge
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], pruning=None if "LOCAL_RANK" in os.environ else Judge(last=2)))
"""


@pytest.mark.slow
def test_all_ranks_end_with_rank_0(tiny: Callable[..., str], tmp_path: Path) -> None:
    """A rank that went on alone would wait for ever."""
    trainer = {"devices": 2, "strategy": "ddp", "max_epochs": 3}
    (tmp_path / "fit.py").write_text(TWO_RANKS.replace("project.core", f"{project.__name__}.core"))
    command = [sys.executable, "fit.py", "fit", "--config", tiny({"trainer": trainer})]
    environment = os.environ | {"PYTHONPATH": str(CONFIGS.parent)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, timeout=200, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    summary = read(tmp_path / "experiments/tiny")
    assert (summary["state"], summary["steps"]) == ("pruned", 2), ended.stderr
