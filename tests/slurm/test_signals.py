"""Tests of signals at random times under load: no run hangs or loses steps."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.exactness import differing, outcome
from tests.slurm.conftest import SLOW, TWO, Slurm

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture
def load() -> Iterator[None]:
    """Start more processes than the machine has cores."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    yield
    for process in busy:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("trial", range(24))
def test_a_signal_at_a_random_time(trial: int, slurm: Slurm, whole: Path) -> None:
    draw = random.Random(trial)
    number, moment = draw.choice(["USR1", "TERM"]), draw.uniform(0, 12)
    job = slurm.submit(*TWO, argv=SLOW)
    slurm.wait(job, "RUNNING")
    time.sleep(moment)
    said = (slurm.output(job).splitlines() or ["nothing yet"])[-1]
    sent = time.monotonic()
    slurm.interrupt(job, number)
    print(f"trial {number} after {moment:.1f} s ({said}): ended or requeued after {time.monotonic() - sent:.1f} s")
    shown = slurm.wait(job, seconds=200)
    print(shown["JobState"], shown["ExitCode"], "restarts:", shown["Restarts"])
    assert shown["JobState"] == "COMPLETED", slurm.output(job)
    assert shown["Restarts"] == "1" or "at step 20" in said or "epoch 4/4" in said, slurm.output(job)
    assert differing(outcome(whole), outcome(slurm.folder / "experiments/tiny")) == []


def test_a_job_resumes_after_its_time_limit(slurm: Slurm, whole: Path) -> None:
    """Slurm checks limits about once a minute and sends USR1 before; the job is requeued and resumes."""
    slow = (slurm.folder / "slow.yaml").read_text().replace("seconds: 0.15", "seconds: 2.0")
    (slurm.folder / "slow.yaml").write_text(slow)
    job = slurm.submit(*TWO, "--time=1", "--signal=USR1@30", argv=SLOW)
    shown = slurm.wait(job, "COMPLETED", "TIMEOUT", "FAILED", seconds=400)
    assert shown["JobState"] == "COMPLETED", slurm.output(job)
    assert int(shown["Restarts"]) >= 1
    assert differing(outcome(whole), outcome(slurm.folder / "experiments/tiny")) == []
