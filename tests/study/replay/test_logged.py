"""Which values that a run logged are compared with those of a replay, and which steps a run has."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from project.core.errors import ConfigError
from project.study.replay.extent import check_steps
from project.study.replay.logged import compare_logged
from project.study.replay.replaying import replay_steps
from tests.conftest import Cli
from tests.core.run.test_exact_resume import RANDOM
from tests.study.replay.test_kinds import checkpoint_of


@pytest.fixture
def run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Path:
    """Train a run of two epochs with 5 steps each, and a mean over each epoch which Lightning keeps."""
    trainer = RANDOM["trainer"] | {"callbacks": [{"type": "tests.study.replay.components.EpochMean"}]}
    ran = cli("fit", "--config", tiny(RANDOM | {"trainer": trainer | {"max_epochs": 3}}))
    assert ran.code == 0, ran.err
    return tmp_path / "experiments/tiny"


@pytest.mark.slow
def test_mean_over_an_epoch_is_compared_only_where_both_have_all_of_it(run: Path, cli: Cli) -> None:
    """Lightning forgets it at a resume, whether it is the run or the replay that went on within the epoch."""
    within = replay_steps(run, 4, 11)
    assert within.incomparable == {("train/own", 5)}
    assert compare_logged(run, within).differing == []
    assert len(within.curves["train/own"][0]) == 2
    assert cli("fit", "--resume", str(checkpoint_of(run, 8))).code == 0
    for step in range(1, 10):
        if step not in (5, 8):
            checkpoint_of(run, step).unlink()
    over = replay_steps(run, 6, 11)
    assert over.incomparable == {("train/own", 10)}
    assert compare_logged(run, over).verdict == "equal"


def test_step_that_a_run_does_not_have_is_refused_at_once(run: Path) -> None:
    """The step after the last one may be that of a failure; of a killed run, the next logged one is not known."""
    summary = run / "summary.json"
    content = json.loads(summary.read_text())
    assert (content["state"], content["steps"]) == ("finished", 15)
    for state, allowed, refused, message in (
        ("finished", 15, 16, "has 15 steps; it has no step 16"),
        ("failed", 16, 17, r"ended after 15 steps \(failed\); it has no step 17"),
        ("running", 16, 17, "has recorded 15 steps so far; step 17 is not known"),
    ):
        summary.write_text(json.dumps(content | {"state": state}))
        check_steps(run, allowed)
        with pytest.raises(ConfigError, match=message):
            check_steps(run, refused)
