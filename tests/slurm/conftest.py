"""Slurm cluster with two nodes on this machine, for the tests marked `slurm`."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import CONFIGS, TINY
from tests.core.run.test_exact_resume import RANDOM

SCRIPT = Path(__file__).parent / "cluster.sh"
ROOT = CONFIGS.parent
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL")
TWO = ("--nodes=2",)
STOPPING = "stopping after the next step"
SLOW = ("--config", "slow.yaml")  # twenty steps, four validations
_SLOW: dict[str, Any] = RANDOM | {
    "base": "base.yaml",
    "timeout": 20,
    "checkpoint": {"keep": 2, "every_n_steps": 3},
    "digests": {"all": 1},
    "trainer": RANDOM["trainer"]
    | {"max_epochs": 4, "callbacks": [{"type": "tests.core.random_components.Slow", "seconds": 0.15}]},
}


class Slurm:
    """Client of the cluster, in a directory with links to the files of the project."""

    def __init__(self, state: Path, folder: Path) -> None:
        self.folder = folder
        for name in ("cli.py", "configs", "scripts"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "base.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
        (folder / "slow.yaml").write_text(yaml.safe_dump(_SLOW, sort_keys=False))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
        self.environment |= {"SLURM_CONF": str(state / "slurm.conf"), "PATH": path, "PYTHONPATH": str(ROOT)}
        self.environment |= {"OMP_NUM_THREADS": "1"}  # the two processes of a run share two processors

    def call(self, *command: str, seconds: float = 60) -> str:
        """Run a command and return its output."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=seconds
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def submit(self, *options: str, script: str = str(ROOT / "scripts/slurm.sh"), argv: tuple[str, ...] = ()) -> str:
        """Submit a job and return its number."""
        (job,) = re.findall(r"\d+", self.call("sbatch", "--output=%j.out", *options, *filter(None, [script]), *argv))
        return str(job)

    def show(self, job: str) -> dict[str, str]:
        """Return the fields that Slurm shows for a job."""
        return dict(re.findall(r"(\w+)=(\S*)", self.call("scontrol", "show", "job", job)))

    def wait(self, job: str, *states: str, restarts: int = 0, seconds: float = 180) -> dict[str, str]:
        """Wait until a job has the number of restarts and one of the states."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            shown = self.show(job)
            if shown["JobState"] in (states or ENDED) and int(shown["Restarts"]) >= restarts:
                return shown
            time.sleep(0.2)
        raise AssertionError(f"job {job} is {shown} after {seconds} s\n{self.output(job)}")

    def wait_for(self, job: str, text: str, seconds: float = 180) -> None:
        """Wait until the output of a job contains a text."""
        self.wait_for_file(self.folder / f"{job}.out", text, seconds)

    def wait_for_file(self, file: Path, text: str, seconds: float = 180) -> None:
        """Wait until a file contains a text."""
        limit = time.monotonic() + seconds
        while text not in (content := file.read_text() if file.exists() else ""):
            assert time.monotonic() < limit, f"{file} does not contain {text!r}\n{content}"
            time.sleep(0.1)

    def interrupt(self, job: str, number: str, seconds: float = 180) -> None:
        """Send a signal until a task has said that it stops, because Slurm loses signals while it starts the tasks."""
        limit = time.monotonic() + seconds
        said = self.output(job).count(STOPPING)
        while self.show(job)["JobState"] == "RUNNING":
            assert time.monotonic() < limit, f"job {job} is still running\n{self.output(job)}"
            if self.output(job).count(STOPPING) == said:
                subprocess.run(["scancel", f"--signal={number}", job], env=self.environment, stderr=subprocess.DEVNULL)
            time.sleep(0.1)

    def output(self, job: str) -> str:
        """Return the output of a job so far."""
        file = self.folder / f"{job}.out"
        return file.read_text() if file.exists() else ""


@pytest.fixture(scope="session")
def state() -> Iterator[Path]:
    """Start a cluster and return its directory."""
    if shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin") is None and (
        os.geteuid() != 0 or shutil.which("apt-get") is None
    ):
        pytest.skip("Slurm is not installed, and only root on Debian can install it")
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("stopped by SIGTERM", 143))  # and stop the cluster
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    folder.chmod(0o755)  # munge rejects a socket in a directory that others cannot enter
    started = subprocess.run(["bash", SCRIPT, "up", folder], capture_output=True, text=True, check=False, timeout=300)
    if started.returncode:
        pytest.skip(f"Slurm does not start here: {(started.stderr.splitlines() or ['?'])[-1]}")
    yield folder
    subprocess.run(["bash", SCRIPT, "down", folder], check=False, timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def slurm(state: Path, tmp_path: Path) -> Slurm:
    return Slurm(state, tmp_path)


@pytest.fixture(scope="session")
def whole(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Undisturbed run on two nodes."""
    slurm = Slurm(state, tmp_path_factory.mktemp("whole"))
    job = slurm.submit(*TWO, argv=SLOW)
    assert slurm.wait(job)["JobState"] == "COMPLETED", slurm.output(job)
    assert slurm.output(job).count("the run directory is") == 1
    return slurm.folder / "experiments/tiny"
