"""Copies of the template as a repository, and projects started from them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
START = "scripts/start_new_proj.py"
HALF = ("tests/", "benchmarks/", "docs/")  # half of the files: a project can be started without them


def run(folder: Path, *command: str | Path, code: int = 0, variables: Mapping[str, str] | None = None) -> str:
    """Run a command and return its output, and its error output if the expected exit code is not 0."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PYTHONPATH": str(folder), "PATH": path} | dict(variables or {})
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


def git(folder: Path, *arguments: str) -> str:
    """Run git with an identity and return its output."""
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    return run(folder, "git", *identity, *arguments).rstrip("\n")


def commit(folder: Path, message: str) -> str:
    """Commit all files and return the commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def start(template: Path, location: Path, name: str) -> Path:
    """Start a project from a template as a user does."""
    run(template, sys.executable, START, "--proj_name", name, "--proj_loc", str(location))
    return location / name


def copy_of_template(target: Path, without: tuple[str, ...] = ()) -> Path:
    """Copy the working tree, except ignored files and some directories, to a new repository with one commit."""
    for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if (ROOT / name).is_file() and not name.startswith(without):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    git(target, "init", "-q")
    commit(target, "The template")
    return target


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy of the template, shared by the tests of a module."""
    return copy_of_template(tmp_path_factory.mktemp("template") / "copy")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """Copy of half of the template, which the test may change."""
    return copy_of_template(tmp_path / "template", without=HALF)
