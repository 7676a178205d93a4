"""Tests of jobs on two nodes with one task each: preempted, killed or submitted incorrectly."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from project.core.run.checkpoint_files import load_resumable
from tests.conftest import Cli
from tests.exactness import differing, outcome
from tests.slurm.conftest import SLOW, TWO, Slurm

pytestmark = pytest.mark.slurm


def test_a_preempted_job_resumes(slurm: Slurm, whole: Path) -> None:
    """USR1 in training and during the import of torch changes neither the run directory nor the outcome."""
    job = slurm.submit(*TWO, argv=SLOW)
    slurm.wait_for(job, "trained at step 3")
    slurm.call("scancel", "--signal=USR1", job)
    slurm.wait(job, "RUNNING", restarts=1)
    slurm.interrupt(job, "USR1")
    assert slurm.wait(job, restarts=2)["JobState"] == "COMPLETED", slurm.output(job)
    run = slurm.folder / "experiments/tiny"
    assert differing(outcome(whole), outcome(run)) == []
    assert (run / "slurm.txt").read_text() == f"{job}\n"


def test_signals_during_validation_and_saving(slurm: Slurm, whole: Path) -> None:
    job = slurm.submit(*TWO, argv=SLOW)
    for restarts, text in enumerate(("validating at step 5", "saving at step 9"), 1):
        slurm.wait_for(job, text)
        slurm.call("scancel", "--signal=TERM", job)
        slurm.wait(job, "RUNNING", restarts=restarts)
    assert slurm.wait(job)["JobState"] == "COMPLETED", slurm.output(job)
    assert differing(outcome(whole), outcome(slurm.folder / "experiments/tiny")) == []


def test_preemption_by_slurm(slurm: Slurm, whole: Path) -> None:
    job = slurm.submit(*TWO, argv=SLOW)
    slurm.wait_for(job, "trained at step 6")
    urgent = slurm.submit("--partition=urgent", "--nodes=2", "--exclusive", "--wrap=sleep 1", script="")
    assert slurm.wait(urgent)["JobState"] == "COMPLETED"
    assert slurm.wait(job, restarts=1, seconds=120)["JobState"] == "COMPLETED", slurm.output(job)
    assert differing(outcome(whole), outcome(slurm.folder / "experiments/tiny")) == []


def test_a_cancelled_job_saves_and_is_not_requeued(slurm: Slurm, whole: Path) -> None:
    job = slurm.submit(*TWO, argv=SLOW)
    slurm.wait_for(job, "trained at step 4")
    slurm.call("scancel", job)
    assert slurm.wait(job, seconds=30)["JobState"] == "CANCELLED"
    assert load_resumable(slurm.folder / "experiments/tiny").step >= 4
    assert slurm.show(job)["Restarts"] == "0"
    second = slurm.submit(*TWO, argv=(*SLOW, "--resume", "auto"))
    assert slurm.wait(second)["JobState"] == "COMPLETED", slurm.output(second)
    assert differing(outcome(whole), outcome(slurm.folder / "experiments/tiny")) == []


def test_a_killed_task_ends_the_job(slurm: Slurm) -> None:
    job = slurm.submit(*TWO, argv=SLOW)
    slurm.wait_for(job, "trained at step 7")
    assert kill(job, rank=1)
    shown = slurm.wait(job, seconds=40)
    assert shown["JobState"] == "FAILED", slurm.output(job)
    assert load_resumable(slurm.folder / "experiments/tiny").step >= 5


def kill(job: str, rank: int) -> bool:
    """Kill the process of a task; return whether it was found."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        mine = f"SLURM_JOB_ID={job}".encode() in variables and f"SLURM_PROCID={rank}".encode() in variables
        of_python = Path(command.split(b"\0")[0].decode()).name.startswith("python")  # not srun or slurmstepd
        if mine and of_python and b"cli.py" in command:
            os.kill(int(folder.name), signal.SIGKILL)
            return True
    return False


@pytest.mark.parametrize(
    ("options", "argv", "message"),
    [
        (
            ("--ntasks=1", "--ntasks-per-node=2"),
            (),
            "SLURM_NTASKS is 1, but SLURM_NNODES x SLURM_NTASKS_PER_NODE is 1 x 2",
        ),
        (TWO, ("--trainer.num_nodes", "3"), "trainer.num_nodes is 3, but SLURM_NNODES is 2"),
        (("--no-requeue",), (), "was submitted with --no-requeue"),
        (("--nodes=2", "--job-name=interactive"), (), "SLURM_JOB_NAME is interactive"),
    ],
)
def test_incorrect_submissions_are_an_error(
    options: tuple[str, ...], argv: tuple[str, ...], message: str, slurm: Slurm, tiny: Callable[..., str]
) -> None:
    job = slurm.submit(*options, argv=("--config", tiny(), *argv))
    shown = slurm.wait(job)
    assert (shown["JobState"], shown["ExitCode"]) == ("FAILED", "2:0"), slurm.output(job)
    lines = [line for line in slurm.output(job).splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (slurm.folder / "experiments").exists()


@pytest.mark.parametrize(
    ("options", "python", "message"),
    [
        (("--nodes=2", "--ntasks-per-node=1"), "python", "SLURM_NTASKS is 2, but python was not started by srun"),
        (
            ("--ntasks=2",),
            "srun --kill-on-bad-exit=1 python",
            "SLURM_NTASKS is 2, but SLURM_NTASKS_PER_NODE is not set",
        ),
    ],
)
def test_incorrect_scripts_are_an_error(
    options: tuple[str, ...], python: str, message: str, slurm: Slurm, tiny: Callable[..., str]
) -> None:
    job = slurm.submit(*options, f"--wrap={python} cli.py fit --config {tiny()}", script="")
    assert slurm.wait(job)["ExitCode"] == "2:0"
    (line,) = (line for line in slurm.output(job).splitlines() if line.startswith("error: "))
    assert message in line


def test_max_restarts_limits_restarts(slurm: Slurm) -> None:
    slurm.environment["MAX_RESTARTS"] = "0"
    job = slurm.submit(*TWO, argv=SLOW)
    slurm.wait_for(job, "trained at step 1")
    slurm.call("scancel", "--signal=USR1", job)
    shown = slurm.wait(job)
    assert (shown["JobState"], shown["ExitCode"], shown["Restarts"]) == ("FAILED", "75:0", "0")
    slurm.call("scontrol", "requeue", job)  # as Slurm does after a node failure
    shown = slurm.wait(job, "FAILED", restarts=1)
    assert (shown["ExitCode"], shown["Restarts"]) == ("1:0", "1")
    assert "was restarted more than 0 times" in slurm.output(job)


def test_a_preempted_array_task_resumes(slurm: Slurm) -> None:
    """Preempts the task whose job id is that of the array."""
    job = slurm.submit("--array=1-2", argv=SLOW)
    numbers = {slurm.wait(f"{job}_{task}", "RUNNING")["JobId"]: task for task in (1, 2)}
    assert job in numbers
    first, other = numbers.pop(job), *numbers.values()
    slurm.wait_for(job, "trained at step 3")
    slurm.call("scancel", "--signal=USR1", f"{job}_{first}")
    assert slurm.wait(f"{job}_{first}", restarts=1)["JobState"] == "COMPLETED", slurm.output(job)
    shown = slurm.wait(f"{job}_{other}")
    assert (shown["JobState"], shown["Restarts"]) == ("COMPLETED", "0")
    assert sorted(path.name for path in (slurm.folder / "experiments").iterdir()) == ["tiny_1", "tiny_2"]


def test_a_single_task_of_a_larger_job_evaluates(slurm: Slurm, cli: Cli, tiny: Callable[..., str]) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    call = "--wrap=srun -N1 -n1 python cli.py test --ckpt_path experiments/tiny --trust"
    job = slurm.submit("--nodes=2", "--ntasks-per-node=2", call, script="")
    assert slurm.wait(job)["JobState"] == "COMPLETED", slurm.output(job)
