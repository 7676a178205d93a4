"""The template as a repository of its own, and projects that are started from it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
START = "scripts/start_new_proj.py"


def run(folder: Path, *command: str | Path, code: int = 0, **variables: str) -> str:
    """What a command prints to its output; its errors, too, where it is to fail."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PYTHONPATH": str(folder), "PATH": path} | variables
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


def git(folder: Path, *arguments: str) -> str:
    """What git prints."""
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    return run(folder, "git", *identity, *arguments).rstrip("\n")


def commit(folder: Path, message: str) -> str:
    """Commits all there is, and returns the commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def start(template: Path, location: Path, name: str) -> Path:
    """A project that is started as a user does."""
    run(template, sys.executable, START, "--proj_name", name, "--proj_loc", str(location))
    return location / name


def copy_of_template(target: Path) -> Path:
    """What git tracks or would, edits included, in a repository with one commit."""
    for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    git(target, "init", "-q")
    commit(target, "The template")
    return target


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the template that a module's tests share."""
    return copy_of_template(tmp_path_factory.mktemp("template") / "copy")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A copy of the template that a test may change."""
    return copy_of_template(tmp_path / "template")
