"""Whole searches: runs, journal and test metrics are those of an undisturbed one, also if everything is killed."""

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from project.core.config.yaml_files import read_config
from project.study.sweep.definition import Choice, Definition, Number
from project.study.sweep.directory import SweepDirectory
from project.study.sweep.trials import choose_trials
from project.study.sweep.worker import Sweep, Worker
from tests.conftest import Cli
from tests.exactness import differing, outcome
from tests.study.sweep.test_optuna_trials import content

pytestmark = pytest.mark.slow


def search(directory: Path, config: str, definition: Definition) -> None:
    """Begin a search, or continue it."""
    created = SweepDirectory(directory)
    created.create()
    experiment = read_config(Path(config))
    trials = choose_trials(definition, directory / ".sweep", experiment)
    Worker(Sweep(definition, created, experiment, ["--config", config], trials)).work()


def search_until_killed(directory: Path, config: str, definition: Definition, seconds: float) -> bool:
    """Search in another process, and kill it; return whether it was killed before it ended."""
    process = os.fork()
    if process == 0:
        search(directory, config, definition)
        os._exit(0)
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def found(directory: Path) -> dict[str, Any]:
    """Return what became of each run, without times."""
    summaries = {file.parent.name: json.loads(file.read_text()) for file in directory.glob("*/summary.json")}
    metrics = {file.parts[-4]: file.read_text() for file in directory.glob("*/eval/test/metrics.json")}
    for summary in summaries.values():
        del summary["seconds"]
    return {"runs": summaries, "metrics": metrics}


def test_killed_search_ends_like_an_undisturbed_one(tiny: Callable[..., str], cli: Cli, tmp_path: Path) -> None:
    """A kill at any time changes neither which trials there are, nor which are pruned, nor any bit of a run."""
    config = tiny({"trainer": {"max_epochs": 3}})
    space = {"model.optimizer.lr": Number(1e-5, 1e-1, is_log=True), "model.net.hidden": Number(4, 16, is_int=True)}
    definition = Definition(
        space=space | {"model.optimizer.type": Choice(("AdamW", "SGD"))},
        trials=8,
        seeds=(0, 1),
        pruner="median",
        monitor="val/sum",
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    started = time.monotonic()
    search(whole, config, definition)
    seconds = time.monotonic() - started
    draws, kills = random.Random(0), 0
    while kills < 10 and search_until_killed(killed, config, definition, draws.uniform(0.03, 0.25) * seconds):
        kills += 1
    search(killed, config, definition)
    assert kills >= 3
    assert found(killed) == found(whole)
    journals = [content(each / ".sweep" / "trials.journal", definition) for each in (whole, killed)]
    assert journals[0] == journals[1]
    states = [run["state"] for run in found(whole)["runs"].values()]
    pruned, finished = states.count("pruned"), states.count("finished")
    assert pruned > 0
    assert 2 * pruned + finished == 16  # the second run of a pruned trial is not trained
    assert len(found(whole)["metrics"]) == finished  # a pruned one is not tested
    for name in found(whole)["runs"]:
        assert differing(outcome(whole / name), outcome(killed / name)) == [], name


def test_run_of_a_search_equals_a_run_alone(tiny: Callable[..., str], cli: Cli, tmp_path: Path) -> None:
    """Pruning leaves no trace in runs that are not pruned."""
    config = tiny({"trainer": {"max_epochs": 2}})
    grid = Definition(grid={"model.optimizer.lr": (0.003, 0.01)}, pruner="median", monitor="val/sum")
    search(tmp_path / "grid", config, grid)
    options = ["--model.optimizer.lr", "0.01", "--checkpoint.monitor", "val/sum", "--checkpoint.mode", "min"]
    cli("fit", "--config", config, *options, "--name", "0001", "--root", str(tmp_path / "alone"))
    runs = [tmp_path / "grid" / "0001", tmp_path / "alone" / "0001"]
    assert differing(*map(outcome, runs)) == []
    configs = [(run / "config.yaml").read_text() for run in runs]
    assert configs[0].replace(str(tmp_path / "grid"), str(tmp_path / "alone")) == configs[1]
