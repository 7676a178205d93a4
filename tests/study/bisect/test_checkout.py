"""The code of a run is restored outside the repository, which does not change."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from project.core.run.git import GitState, read_git
from project.study.bisect import checkout
from project.study.bisect.checkout import NoCode, check_out

WORKER = Path("package/worker.py")


def git(directory: Path, *arguments: str) -> str:
    options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *options, *arguments], cwd=directory, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return a repository with a package in a directory, and its commits: without the worker, and with it."""
    top = tmp_path_factory.mktemp("repository")
    code, commits = top / "code", []
    (code / "package").mkdir(parents=True)
    git(top, "init", "-q")
    for name in ("other.py", WORKER.name):
        (code / "package" / name).write_text("old\n")
        git(top, "add", ".")
        git(top, "commit", "-q", "-m", name)
        commits.append(git(top, "rev-parse", "HEAD"))
    return code, commits


@pytest.fixture
def code(made: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(checkout, "CODE", made[0])
    monkeypatch.setattr(checkout, "WORKER", "package.worker")
    before = git(made[0], "status", "--porcelain", "--ignored")
    yield made[0]
    assert git(made[0], "status", "--porcelain", "--ignored") == before


def test_commit_and_changes_are_restored_and_removed(code: Path) -> None:
    """Also a new file, although the repository has other changes by now."""
    (code / WORKER).write_text("new\n")
    (code / "package/added.py").write_text("added\n")
    state = read_git(code)
    git(code, "checkout", "-q", ".")
    (code / "package/added.py").unlink()
    with ExitStack() as stack:
        restored = check_out(state, stack)
        assert (restored / WORKER).read_text() == "new\n"
        assert (restored / "package/added.py").read_text() == "added\n"
        assert (restored / "package/other.py").read_text() == "old\n"
    assert not restored.exists()
    assert (code / WORKER).read_text() == "old\n"


@pytest.mark.usefixtures("code")
def test_code_that_cannot_be_restored_is_said(made: tuple[Path, list[str]]) -> None:
    commit = made[1][1]
    outside = "--- /dev/null\n+++ b/../outside.py\n@@ -0,0 +1 @@\n+x\n"
    cases = {
        "the run does not tell it": GitState(None, None),
        "this repository has no commit 0000000000": GitState("0" * 40, ""),
        "its git.diff is cut, since it is too large": GitState(commit, "a\n\nCut after 1048576 bytes. All files"),
        "its git.diff cannot be applied to its commit": GitState(commit, outside),
        "it is older than this command": GitState(made[1][0], ""),
    }
    for message, state in cases.items():
        with ExitStack() as stack, pytest.raises(NoCode) as raised:
            check_out(state, stack)
        assert str(raised.value) == message
