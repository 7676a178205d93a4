"""The shell scripts can be executed, also with `sh`, from any directory."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import CONFIGS
from tests.core.run.test_job_script import run_script

ROOT = CONFIGS.parent
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.sh"))


def test_git_stores_the_run_bit_of_every_script() -> None:
    """A started project gets the modes that git stores."""
    listed = subprocess.run(
        ["git", "ls-files", "-s", "scripts"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    modes = {line.split("\t")[1]: line.split()[0] for line in listed.splitlines()}
    assert {name: mode for name, mode in modes.items() if name.endswith(".sh")} == {
        f"scripts/{name}": "100755" for name in SCRIPTS
    }


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("cpu.sh", ["cli.py", "fit", "--seed", "a b", "--config", "configs/presets/cpu.yaml"]),
        ("install_ops.sh", ["-m", "ops", "build", "--seed", "a b"]),
    ],
)
def test_script_runs_in_every_shell(script: str, arguments: list[str], shell: str, tmp_path: Path) -> None:
    words = run_script(Path("scripts") / script, tmp_path, "--seed", "a b", cwd=ROOT, shell=shell)
    assert words == [str(ROOT), *arguments]


def test_sweeps_run_by_the_script_of_slurm(tmp_path: Path) -> None:
    """Its checks of the job, its signals and its requeueing are those of a run."""
    task = {"SLURM_JOB_ID": "9", "SLURM_PROCID": "0"}
    words = run_script(Path("scripts/sweep.sh"), tmp_path, "--sweep", "a b.yaml", cwd=ROOT, slurm=task)
    assert words == [str(ROOT), "cli.py", "sweep", "--sweep", "a b.yaml"]


def test_script_for_bash_starts_it() -> None:
    """Outside a job it fails, but not in the syntax of bash."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    ran = subprocess.run(
        ["sh", "scripts/slurm.sh"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert len(ran.stderr.splitlines()) == 1
    assert "SLURM_JOB_ID: unbound variable" in ran.stderr
