"""Runs of all kinds are verified: killed, forked and changed ones, too."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from project.core.digest_file import DIGESTS, read_blocks
from project.core.run.checkpoint_files import list_by_step
from project.core.run.state_chain import STATES, read_chain
from tests.conftest import CONFIGS, Cli
from tests.core.run.test_exact_resume import RANDOM, VARIANTS
from tests.study.verify.conftest import Verify, checkpoint_of


@pytest.mark.slow  # that replays are exact is tested with them
@pytest.mark.parametrize("variant", VARIANTS)
def test_run_of_each_kind_is_verified(
    variant: str, verify: Verify, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """From states within epochs and at their ends."""
    config, over = tiny(RANDOM), tiny({"base": []} | VARIANTS[variant], "over.yaml")
    settings = {"base": [], "checkpoint": {"keep": 1, "milestones": 2}}
    ran = cli("fit", "--config", config, "--config", over, "--config", tiny(settings, "kept.yaml"))
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    ran = verify(run, "--steps", "all")
    assert (ran.code, ran.err) == (0, ""), ran.out
    assert "contradiction" not in ran.out
    count = len({*list_by_step(run / "checkpoints").values()} | {link.step for link in read_chain(run)})
    assert sum(int(number) for number in re.findall(r"equal: (\d+) state", ran.out)) == count


@pytest.mark.slow
def test_changed_fork_is_verified(verify: Verify, run: Path, cli: Cli, tmp_path: Path) -> None:
    """Steps before the fork belong to its origin."""
    fork = ["fit", "--resume", str(checkpoint_of(run, 4)), "--root", str(tmp_path), "--name", "fork"]
    ran = cli(*fork, "--model.optimizer.lr", "0.02", "--checkpoint.milestones", "0", "--checkpoint.keep", "1")
    assert ran.code == 0, ran.err
    ran = verify(tmp_path / "fork", "--steps", "all")
    assert (ran.code, ran.err) == (0, ""), ran.out
    assert f"note: steps 1 to 4 are not verified: {run} trained them\n" in ran.out
    assert read_chain(tmp_path / "fork")[0] == read_chain(run)[1]
    assert re.search(r"^steps 5 to 8 .* equal: 2 states", ran.out, re.M)


@pytest.mark.slow
def test_resumed_run_with_changed_settings_is_verified(verify: Verify, run: Path, cli: Cli) -> None:
    """The steps after the resume have its settings, in one segment with those before, too."""
    ran = cli("fit", "--resume", str(checkpoint_of(run, 4)), "--model.optimizer.lr", "0.02")
    assert ran.code == 0, ran.err
    checkpoint_of(run, 4).unlink()
    ran = verify(run, "--steps", "all")
    assert (ran.code, ran.err) == (0, ""), ran.out
    assert re.search(r"^steps 3 to 6 .* equal: 2 states", ran.out, re.M)


@pytest.mark.slow
def test_run_of_two_processes_is_verified(tiny: Callable[..., str], tmp_path: Path) -> None:
    """One verdict of both; a resumed run has the digests and the chain of the uninterrupted one."""
    config = tiny(RANDOM | {"trainer": RANDOM["trainer"] | {"strategy": "ddp", "devices": 2}})
    environment = os.environ | {"PYTHONPATH": str(CONFIGS.parent)}

    def call(*argv: str) -> str:
        command = [sys.executable, str(CONFIGS.parent / "cli.py"), *argv]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run = tmp_path / "experiments/tiny"
    call("fit", "--config", config)
    whole = [(run / name).read_bytes() for name in (DIGESTS, STATES)]
    (*_, block) = read_blocks(run / DIGESTS)
    kinds = {name.split()[0] for name in block.table.names}
    assert {"parameter", "buffer", "optimizer", "lr", "data", "loss", "gradient"} <= kinds
    assert int(block.steps[-1]) == 10
    call("fit", "--config", config, "--resume", str(checkpoint_of(run, 4)))
    assert [(run / name).read_bytes() for name in (DIGESTS, STATES)] == whole
    for path, step in list_by_step(run / "checkpoints").items():
        if step not in (5, 7):
            path.unlink()
    printed = call("verify", str(run), "--steps", "all", "--trust")
    assert re.findall(r"^steps (\d+) to (\d+) .* equal: (\d+) state", printed, re.M) == [
        *(("1", "5", "1"), ("6", "7", "1"), ("8", "10", "1"))
    ]
    assert printed.count("\nverified: all 3 segments") == 1
    assert json.loads((run / "verified.json").read_text())["verdict"] == "verified"
