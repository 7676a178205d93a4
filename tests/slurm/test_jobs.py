"""Jobs on a real cluster: two nodes with a task each, preempted, killed and submitted wrongly."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from project.core.checkpoint import find_resumable
from tests.conftest import Cli
from tests.exactness import differing, outcome
from tests.slurm.conftest import SLOW, TWO, Slurm

pytestmark = pytest.mark.slurm


def test_a_job_that_is_preempted_goes_on(slurm: Slurm, whole: Path) -> None:
    """USR1 twice, in training and while torch is imported: the folder, the curves and the end are the same."""
    job = slurm.submit(*TWO, argv=SLOW)
    slurm.wait_for(job, "trained at step 3")
    slurm.call("scancel", "--signal=USR1", job)
    slurm.wait(job, "RUNNING", restarts=1)
    slurm.interrupt(job, "USR1")
    assert slurm.wait(job, restarts=2)["JobState"] == "COMPLETED", slurm.output(job)
    run = slurm.folder / "experiments/tiny"
    assert differing(outcome(whole), outcome(run)) == []
    assert (run / "slurm.txt").read_text() == f"{job}\n"


def test_signals_in_validation_and_in_saving(slurm: Slurm, whole: Path) -> None:
    job = slurm.submit(*TWO, argv=SLOW)
    for restarts, text in enumerate(("validating at step 5", "saving at step 9"), 1):
        slurm.wait_for(job, text)
        slurm.call("scancel", "--signal=TERM", job)
        slurm.wait(job, "RUNNING", restarts=restarts)
    assert slurm.wait(job)["JobState"] == "COMPLETED", slurm.output(job)
    assert differing(outcome(whole), outcome(slurm.folder / "experiments/tiny")) == []


def test_real_preemption(slurm: Slurm, whole: Path) -> None:
    job = slurm.submit(*TWO, argv=SLOW)
    slurm.wait_for(job, "trained at step 6")
    urgent = slurm.submit("--partition=urgent", "--nodes=2", "--exclusive", "--wrap=sleep 1", script="")
    assert slurm.wait(urgent)["JobState"] == "COMPLETED"
    assert slurm.wait(job, restarts=1, seconds=120)["JobState"] == "COMPLETED", slurm.output(job)
    assert differing(outcome(whole), outcome(slurm.folder / "experiments/tiny")) == []


def test_a_job_that_is_cancelled_is_saved_and_stays_away(slurm: Slurm, whole: Path) -> None:
    job = slurm.submit(*TWO, argv=SLOW)
    slurm.wait_for(job, "trained at step 4")
    slurm.call("scancel", job)
    assert slurm.wait(job, seconds=30)["JobState"] == "CANCELLED"
    assert find_resumable(slurm.folder / "experiments/tiny")[1]["global_step"] >= 4
    assert slurm.show(job)["Restarts"] == "0"
    second = slurm.submit(*TWO, argv=(*SLOW, "--resume", "auto"))
    assert slurm.wait(second)["JobState"] == "COMPLETED", slurm.output(second)
    assert differing(outcome(whole), outcome(slurm.folder / "experiments/tiny")) == []


def test_a_task_that_is_killed_ends_the_job(slurm: Slurm) -> None:
    job = slurm.submit(*TWO, argv=SLOW)
    slurm.wait_for(job, "trained at step 7")
    assert kill(job, rank=1)
    shown = slurm.wait(job, seconds=40)
    assert shown["JobState"] == "FAILED", slurm.output(job)
    assert find_resumable(slurm.folder / "experiments/tiny")[1]["global_step"] >= 5


def kill(job: str, rank: int) -> bool:
    """Kills the process of a task."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        mine = f"SLURM_JOB_ID={job}".encode() in variables and f"SLURM_PROCID={rank}".encode() in variables
        of_python = Path(command.split(b"\0")[0].decode()).name.startswith("python")  # not srun's, nor slurmstepd's
        if mine and of_python and b"cli.py" in command:
            os.kill(int(folder.name), signal.SIGKILL)
            return True
    return False


@pytest.mark.parametrize(
    ("options", "argv", "says"),
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
def test_mistakes(
    options: tuple[str, ...], argv: tuple[str, ...], says: str, slurm: Slurm, tiny: Callable[..., str]
) -> None:
    job = slurm.submit(*options, argv=("--config", tiny(), *argv))
    shown = slurm.wait(job)
    assert (shown["JobState"], shown["ExitCode"]) == ("FAILED", "2:0"), slurm.output(job)
    lines = [line for line in slurm.output(job).splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert says in lines[0]
    assert not (slurm.folder / "experiments").exists()


@pytest.mark.parametrize(
    ("options", "python", "says"),
    [
        (("--nodes=2", "--ntasks-per-node=1"), "python", "SLURM_NTASKS is 2, but python was not started by srun"),
        (
            ("--ntasks=2",),
            "srun --kill-on-bad-exit=1 python",
            "SLURM_NTASKS is 2, but SLURM_NTASKS_PER_NODE is not set",
        ),
    ],
)
def test_mistakes_of_own_scripts(
    options: tuple[str, ...], python: str, says: str, slurm: Slurm, tiny: Callable[..., str]
) -> None:
    job = slurm.submit(*options, f"--wrap={python} cli.py fit --config {tiny()}", script="")
    assert slurm.wait(job)["ExitCode"] == "2:0"
    (line,) = (line for line in slurm.output(job).splitlines() if line.startswith("error: "))
    assert says in line


def test_a_limit_of_restarts(slurm: Slurm) -> None:
    slurm.environment["MAX_RESTARTS"] = "0"
    job = slurm.submit(*TWO, argv=SLOW)
    slurm.wait_for(job, "trained at step 1")
    slurm.call("scancel", "--signal=USR1", job)
    shown = slurm.wait(job)
    assert (shown["JobState"], shown["ExitCode"], shown["Restarts"]) == ("FAILED", "75:0", "0")
    slurm.call("scontrol", "requeue", job)  # as Slurm itself does
    shown = slurm.wait(job, "FAILED", restarts=1)
    assert (shown["ExitCode"], shown["Restarts"]) == ("1:0", "1")
    assert "was started again more than 0 times" in slurm.output(job)


def test_one_task_of_an_array_is_preempted(slurm: Slurm) -> None:
    """The one whose number is that of the array."""
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


def test_one_task_of_a_larger_job_evaluates(slurm: Slurm, cli: Cli, tiny: Callable[..., str]) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    call = "--wrap=srun -N1 -n1 python cli.py test --ckpt_path experiments/tiny"
    job = slurm.submit("--nodes=2", "--ntasks-per-node=2", call, script="")
    assert slurm.wait(job)["JobState"] == "COMPLETED", slurm.output(job)
