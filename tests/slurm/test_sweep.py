"""Tests of sweeps by workers of a job array, and by several tasks for each run."""

import json
from pathlib import Path

import pytest
import yaml

from tests.exactness import differing, outcome
from tests.slurm.conftest import ROOT, SLOW, TWO, Slurm

pytestmark = pytest.mark.slurm

SCRIPT = str(ROOT / "scripts/sweep.sh")
ARGV = (*SLOW, "--sweep", "lr.yaml")


def write_sweep(slurm: Slurm, *rates: float) -> Path:
    """Write lr.yaml, and return the directory of the sweep."""
    (slurm.folder / "lr.yaml").write_text(yaml.safe_dump({"grid": {"model.optimizer.lr": [*rates]}}))
    return slurm.folder / "experiments/lr"


def states(sweep: Path) -> dict[str, str]:
    """Return the states of the runs in their directories."""
    files = sorted(sweep.glob("[!.]*/summary.json"))
    return {file.parent.name: json.loads(file.read_text())["state"] for file in files}


def test_a_preempted_worker_of_an_array_is_requeued(slurm: Slurm) -> None:
    """Runs have the names of the sweep, without the number of the array's task."""
    sweep = write_sweep(slurm, 0.01, 0.02)
    job = slurm.submit("--array=1-2", script=SCRIPT, argv=ARGV)
    numbers = {slurm.wait(f"{job}_{task}", "RUNNING")["JobId"]: task for task in (1, 2)}
    first, other = numbers.pop(job), *numbers.values()
    slurm.wait_for(job, ": starts")
    slurm.call("scancel", "--signal=USR1", f"{job}_{first}")
    assert slurm.wait(f"{job}_{first}", restarts=1)["JobState"] == "COMPLETED", slurm.output(job)
    shown = slurm.wait(f"{job}_{other}")
    assert (shown["JobState"], shown["Restarts"]) == ("COMPLETED", "0")
    assert states(sweep) == dict.fromkeys(("0000", "0001"), "finished")
    assert "; the same command continues it" in slurm.output(job)


def test_two_tasks_train_each_run(slurm: Slurm, whole: Path) -> None:
    """A sweep that is cancelled in its first run, and submitted again, has the bits of a run alone."""
    sweep = write_sweep(slurm, 0.01)
    job = slurm.submit(*TWO, script=SCRIPT, argv=ARGV)
    slurm.wait_for(job, "0000: starts")
    slurm.wait_for_file(sweep / ".sweep/0000.txt", "trained at step 7")
    slurm.call("scancel", job)
    assert slurm.wait(job, seconds=30)["JobState"] == "CANCELLED"
    assert states(sweep) == {"0000": "stopped"}
    second = slurm.submit(*TWO, script=SCRIPT, argv=ARGV)
    assert slurm.wait(second)["JobState"] == "COMPLETED", slurm.output(second)
    assert states(sweep) == {"0000": "finished"}
    assert "resuming from" in (sweep / "0000/log.txt").read_text()
    assert differing(outcome(whole), outcome(sweep / "0000")) == []
