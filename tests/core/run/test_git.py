"""git.diff is bounded, and no program that a repository names is run for it."""

import subprocess
from pathlib import Path

import pytest

from project.core.run import git
from project.core.run.git import GitState, read_git

GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a repository with a commit, which is the working directory."""
    path = tmp_path / "repository"
    path.mkdir()
    monkeypatch.chdir(path)
    subprocess.run([*GIT, "init", "-q"], check=True)
    (path / "code.py").write_text("first\n")
    subprocess.run([*GIT, "add", "."], check=True)
    subprocess.run([*GIT, "commit", "-qm", "x"], check=True)
    return path


def test_programs_of_a_repository_are_not_run(repository: Path) -> None:
    """A repository of a stranger may name programs as hooks, file monitor and drivers of differences."""
    marker, program = repository.parent / "marker", repository.parent / "program"
    program.write_text(f"#!/bin/sh\ntouch {marker}\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.x.textconv", "diff.x.command"):
        subprocess.run([*GIT, "config", name, str(program)], check=True)
    for hook in ("post-index-change", "fsmonitor-watchman"):
        (repository / ".git/hooks" / hook).write_text(program.read_text())
        (repository / ".git/hooks" / hook).chmod(0o755)
    (repository / ".gitattributes").write_text("* diff=x\n")
    (repository / "code.py").write_text("second\n")
    assert "+second" in str(read_git().diff)
    assert not marker.exists()


def test_long_difference_is_cut(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with all names; the content of a large new file is not read."""
    monkeypatch.setattr(git, "_MAX_DIFF", 2000)
    for number in range(5):
        (repository / f"new{number}.py").write_text(f"line {number}\n" * 100)
    diff = str(read_git().diff)
    assert len(diff) < 2500
    assert diff.split("\n\n")[-1].startswith("Cut after 2000 bytes. All files that differ from the commit:\n")
    assert [line for line in diff.splitlines() if line.startswith("A\t")] == [f"A\tnew{i}.py" for i in range(5)]


def test_content_of_a_large_file_is_left_out(repository: Path) -> None:
    (repository / "data.csv").write_text("1,2,3\n" * 300_000)
    (repository / "code.py").write_text("second\n")
    diff = str(read_git().diff)
    assert len(diff) < 1000
    assert "Binary files /dev/null and b/data.csv differ" in diff
    assert "+second" in diff


@pytest.mark.parametrize("case", ["no repository", "no git", "no commit"])
def test_what_git_does_not_tell_is_unknown(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if case == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif case == "no commit":
        subprocess.run([*GIT, "init", "-q"], check=True)
    assert read_git() == GitState(None, None)
    assert read_git().is_dirty is None


def test_new_files_of_the_whole_checkout_count(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in an ignored working directory, and beside a new repository that has no commit and cannot be added."""
    for name in ("ignored", "nested"):
        (repository / name).mkdir()
    (repository / ".gitignore").write_text("ignored\n")
    subprocess.run([*GIT, "init", "-q", "nested"], check=True)
    (repository / "nested/file").touch()
    (repository / "new.py").write_text("new\n")
    assert "+new" in str(read_git().diff)
    monkeypatch.chdir(repository / "ignored")
    assert "+new" in str(read_git().diff)
