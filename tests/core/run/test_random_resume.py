"""Runs of random configurations, interrupted at random moments and resumed, end with the bits of uninterrupted ones."""

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, slow_except
from tests.core.random_configs import HOOKS, random_config
from tests.exactness import differing, outcome

FEW, MANY = [9, 30, 60, 66], [range(first, first + 17) for first in range(100, 270, 17)]


def normalized(run: Path) -> dict[str, Any]:
    """Return the outcome of a run without what Lightning's ModelCheckpoint does not restore.

    That is its `current_score`, and that it appends a version to the name of a file that a killed run had written.
    """

    def strip(value: Any) -> Any:
        return re.sub(r"-v\d+(?=\.ckpt)", "", value) if isinstance(value, str) else value

    found = {strip(path): strip(value) for path, value in outcome(run).items()}
    return {path: value for path, value in found.items() if not path.endswith(".current_score")}


def find_differences(seed: int, kills: int, cli: Cli, tiny: Callable[..., str], root: Path) -> list[str]:
    """Train uninterrupted, and several times interrupted and resumed; return what differs, and how to repeat it."""
    draw, run, struck = random.Random(f"kills {seed}"), root / "experiments/tiny", root / "struck.txt"
    uninterrupted: dict[str, Any] = {}
    found = []

    def remove_run() -> None:
        for directory in (run, root / "own"):
            shutil.rmtree(directory, ignore_errors=True)

    remove_run()
    for _ in range(kills):
        strike = {"hook": draw.choice(HOOKS), "count": draw.randint(2, 9), "what": "exception"}
        tree = random_config(seed)
        tree["trainer"]["callbacks"].append({"type": "tests.core.random_components.Strike"} | strike)
        config = tiny(tree)
        if not uninterrupted:
            struck.touch()  # the callback does nothing
            ran = cli("fit", "--config", config)
            assert ran.code == 0, (seed, ran.err)
            uninterrupted = normalized(run)
        remove_run()
        struck.unlink(missing_ok=True)
        ran = cli("fit", "--config", config)
        if ran.code == 0 or not list(run.glob("checkpoints/epoch_????_step_*.ckpt")):
            continue  # the hook was called less often, or before the first checkpoint
        assert "on purpose" in ran.err, (seed, strike, ran.err)
        ran = cli("fit", "--resume", str(run), "--trust")  # the path of a ModelCheckpoint needs it
        assert ran.code == 0, (seed, strike, ran.err)
        found += [f"{seed} {strike}: {path}" for path in differing(uninterrupted, normalized(run))]
    return found


@pytest.mark.parametrize("seed", slow_except(FEW, FEW[0]))
def test_few_random_runs_resume_exactly(seed: int, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert find_differences(seed, 1, cli, tiny, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("seeds", MANY, ids=str)
def test_many_random_runs_resume_exactly(seeds: range, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert [text for seed in seeds for text in find_differences(seed, 2, cli, tiny, tmp_path)] == []
