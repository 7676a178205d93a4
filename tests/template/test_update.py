"""Tests that updates merge changes of the template and keep those of the project."""

import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.template.conftest import HALF, START, commit, copy_of_template, git, run, start

pytestmark = pytest.mark.slow  # six seconds of the default run; CI runs them beside the tests of a new project


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with a template and a project, which has edits, added files and deleted files, in `kept`."""
    directory = tmp_path_factory.mktemp("update")
    template = copy_of_template(directory / "here/template", without=HALF)
    child = start(template, directory / "here", "Alpha")
    (child / "README.md").write_text("# What we found\n")
    edit(child / "Alpha/models/mlp.py", "depth: Annotated[int, Ge(0)] = 2", "depth: Annotated[int, Ge(0)] = 3")
    edit(child / "cli.py", "import sys", "import sys  # own")
    (child / "Alpha/models/own.py").write_text("# own\n")
    git(child, "rm", "-q", "configs/denoise.yaml", "Alpha/losses/focal.py")
    commit(child, "Our own")
    for repository in (template, child):
        git(repository, "gc", "-q")  # fewer files to copy
    (directory / "here").rename(directory / "kept")
    return directory


@pytest.fixture
def template(started: Path, tmp_path: Path) -> Iterator[Path]:
    """Copy of the template, which the test may change; the project is beside it."""
    here = started / "here"  # always the same path, which the project records
    shutil.copytree(started / "kept", here, symlinks=True)
    yield here / "template"
    here.rename(tmp_path / "here")


@pytest.fixture
def child(template: Path) -> Path:
    """Project with edits, added files and deleted files, started from the template."""
    return template.parent / "Alpha"


def edit(path: Path, before: str, after: str) -> None:
    """Replace a text that occurs exactly once in a file."""
    text = path.read_text()
    assert text.count(before) == 1, f"{path} has {text.count(before)} times: {before}"
    path.write_text(text.replace(before, after))


def update(child: Path, *options: str, code: int = 0) -> str:
    """Run an update and return its output."""
    return run(child, sys.executable, START, "--update", *options, code=code)


def change(template: Path) -> str:
    """Commit edits of files that the project edited or deleted, an added, a renamed and a deleted file."""
    edit(template / "project/models/mlp.py", '"""Multilayer perceptron."""', '"""The multilayer perceptron."""')
    edit(template / "README.md", "and name them in one yaml", "and name all in one yaml")
    edit(template / "configs/denoise.yaml", "name: denoise", "name: denoised")
    edit(template / "project/losses/focal.py", "from torch import Tensor", "from torch import Tensor  # changed")
    (template / "project/core/added.py").write_text("from project.core import errors as errors\n")
    git(template, "mv", "project/core/evaluation/pictures.py", "project/core/images.py")
    git(template, "rm", "-q", "project/losses/mse.py")
    return commit(template, "Many changes")


def test_changes_of_both_sides_are_kept(template: Path, child: Path) -> None:
    new, before = change(template), git(child, "rev-parse", "HEAD", "template")
    shown = update(child, "--dry_run")
    assert "+from Alpha.core import errors as errors\n" in shown
    assert "rename from Alpha/core/evaluation/pictures.py" in shown
    assert (git(child, "rev-parse", "HEAD", "template"), git(child, "status", "--porcelain")) == (before, "")

    shown = update(child)
    assert f" to {new[:10]}\n- Many changes\n" in shown
    assert "stays deleted: Alpha/losses/focal.py\nstays deleted: configs/denoise.yaml\n" in shown
    assert git(child, "status", "--porcelain") == ""
    assert git(child, "log", "-1", "--format=%s") == f"Update from the template at {new[:10]}"
    assert git(child, "log", "-2", "--format=%s", "template").splitlines()[0] == f"The template at {new[:10]}"
    assert (child / "README.md").read_text() == "# What we found\n"
    mlp = (child / "Alpha/models/mlp.py").read_text()
    assert '"""The multilayer perceptron."""' in mlp
    assert "depth: Annotated[int, Ge(0)] = 3" in mlp
    assert "import sys  # own" in (child / "cli.py").read_text()
    there = {path: (child / "Alpha" / path).exists() for path in ("models/own.py", "core/added.py", "core/images.py")}
    assert all(there.values()), there
    gone = ("core/evaluation/pictures.py", "losses/mse.py", "losses/focal.py", "../configs/denoise.yaml")
    assert not [path for path in gone if (child / "Alpha" / path).exists()]
    assert tomllib.loads((child / ".template.toml").read_text())["commit"] == new
    assert git(child, "diff", "--name-only", "template", "--", "Alpha/core") == ""
    assert "Already up to date." in update(child)
    assert update(child, "--dry_run") == "nothing is new\n"
    run(child, sys.executable, "-m", "ruff", "check", "--no-cache", "Alpha", "cli.py")


def test_conflicts_are_those_of_git(template: Path, child: Path) -> None:
    edit(template / "project/models/mlp.py", "depth: Annotated[int, Ge(0)] = 2", "depth: int = 1")
    edit(template / "configs/denoise.yaml", "name: denoise", "name: denoised")
    new = commit(template, "Another width")
    shown = update(child, code=1)
    assert "Conflicts in:\nAlpha/models/mlp.py\n" in shown
    assert "stays deleted: configs/denoise.yaml" in shown
    text = (child / "Alpha/models/mlp.py").read_text()
    assert "<<<<<<< HEAD\n" in text
    assert ">>>>>>> refs/heads/template\n" in text
    assert "error: HEAD is detached, or a merge" in update(child, code=2)
    git(child, "merge", "--abort")
    assert git(child, "status", "--porcelain") == ""
    assert update(child, code=1) == shown
    (child / "Alpha/models/mlp.py").write_text(text.partition("<<<<<<<")[0])
    commit(child, "Resolved")
    assert tomllib.loads((child / ".template.toml").read_text())["commit"] == new
    assert "Already up to date." in update(child)


@pytest.mark.parametrize("way", ["single branch", "shallow", "rebased", "amended", "new repository"])
def test_update_works_if_git_has_lost_the_branch(template: Path, child: Path, tmp_path: Path, way: str) -> None:
    """Changes of the project are kept although git does not know what was merged."""
    change(template)
    update(child)
    if way == "rebased":  # a commit of the template's, on top of the project's own
        git(child, "reset", "-q", "--soft", "HEAD^1")
        commit(child, git(child, "log", "-1", "--format=%B", "template"))
    if way == "amended":
        git(child, "reset", "-q", "--soft", git(child, "rev-list", "--max-parents=0", "HEAD"))
        git(child, "commit", "-q", "--amend", "-m", "All is the first")
    if way == "new repository":
        shutil.rmtree(child / ".git")
        git(child, "init", "-q", "-b", "main")
        commit(child, "All of it")
    else:
        git(child, "branch", "-q", "-D", "template")
    options = {"single branch": ["--single-branch"], "shallow": ["--depth", "1"]}.get(way, [])
    git(tmp_path, "clone", "-q", *options, f"file://{child}", "clone")
    clone = tmp_path / "clone"
    edit(template / "project/models/mlp.py", "number of classes.", "how many classes.")
    edit(template / "configs/denoise.yaml", "width: 16", "width: 32")
    new = commit(template, "Later")
    before = {name: (clone / name).read_text() for name in ("README.md", "cli.py", "Alpha/models/own.py")}
    assert "how many classes" in update(clone, "--dry_run")
    assert "stays deleted: configs/denoise.yaml" in update(clone)
    assert {name: (clone / name).read_text() for name in before} == before
    mlp = (clone / "Alpha/models/mlp.py").read_text()
    assert "how many classes." in mlp
    assert "depth: Annotated[int, Ge(0)] = 3" in mlp
    assert not (clone / "Alpha/losses/focal.py").exists()
    assert tomllib.loads((clone / ".template.toml").read_text())["commit"] == new
    assert git(clone, "status", "--porcelain") == ""
    assert "Already up to date." in update(clone)


def test_untracked_files_are_not_overwritten(template: Path, child: Path) -> None:
    (template / "project/core/added.py").write_text("# the template's\n")
    edit(template / "configs/denoise.yaml", "name: denoise", "name: denoised")
    commit(template, "Additions")
    with (child / ".gitignore").open("a") as file:
        file.write("denoise.yaml\n")
    commit(child, "Our own is private")
    for name in ("Alpha/core/added.py", "configs/denoise.yaml"):
        (child / name).write_text("# mine\n")
    before = git(child, "rev-parse", "HEAD", "template")
    assert update(child, code=2) == (
        "error: the update would overwrite untracked files: move them first\n"
        "Alpha/core/added.py, configs/denoise.yaml\n"
    )
    assert git(child, "rev-parse", "HEAD", "template") == before
    assert (child / "configs/denoise.yaml").read_text() == "# mine\n"


def test_unusual_file_names(template: Path, child: Path) -> None:
    names = ("configs/x[1].yaml", "configs/ein größeres x.yaml")
    for name in (*names, "configs/x1.yaml"):
        (template / name).write_text("x: 1\n")
    commit(template, "Odd names")
    git(child, "tag", "template")
    update(child)
    git(child, "--literal-pathspecs", "rm", "-q", *names)
    commit(child, "Not these")
    for name in names:
        (template / name).write_text("x: 2\n")
    commit(template, "Changed")
    shown = update(child)
    assert all(f"stays deleted: {name}\n" in shown for name in names)
    assert (child / "configs/x1.yaml").exists()
    assert git(child, "status", "--porcelain") == ""


def test_errors_of_git_are_shown(template: Path, child: Path) -> None:
    change(template)
    hook = child / ".git/hooks/pre-merge-commit"
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    edit(template / "configs/denoise.yaml", "name: denoised", "name: denoise")
    git(child, "checkout", "-q", "template", "--", "configs/denoise.yaml", "Alpha/losses/focal.py")
    commit(child, "Nothing is deleted")
    shown = update(child, code=2)
    assert "error: git cannot merge: not today" in shown
    assert "`git status` shows the state" in shown


@pytest.mark.parametrize("state", ["detached", "merging", "in another repository"])
def test_invalid_states_are_an_error(template: Path, child: Path, state: str) -> None:
    change(template)
    if state == "detached":
        git(child, "checkout", "-q", "--detach")
    elif state == "merging":
        git(child, "checkout", "-q", "-b", "other")
        git(child, "commit", "-q", "--allow-empty", "-m", "Other")
        git(child, "checkout", "-q", "main")
        git(child, "merge", "-q", "--no-ff", "--no-commit", "other")
    else:
        shutil.rmtree(child / ".git")
        git(child.parent, "init", "-q")
        commit(child.parent, "All projects")
    head = git(child, "rev-parse", "HEAD")
    message = "must be a git repository of its own" if state == "in another repository" else "HEAD is detached, or"
    assert message in update(child, code=2)
    assert git(child, "rev-parse", "HEAD") == head


def test_errors_of_update(template: Path, child: Path) -> None:
    assert update(template, code=2).startswith(f"error: {template} was not started from a template: ")
    edit(child / "cli.py", "import sys  # own", "import sys  # mine")
    assert update(child, code=2) == "error: there are uncommitted changes: commit or `git stash` them first\n"
    git(child, "checkout", "-q", "--force", "template")
    assert update(child, code=2).startswith("error: the branch template, ")
    git(child, "checkout", "-q", "main")
    template.rename(template.parent / "moved")
    shown = update(child, code=2)
    assert shown.startswith(f"error: cannot clone the template {template}; .template.toml sets its location\n")
    edit(child / ".template.toml", str(template), str(template.parent / "moved"))
    commit(child, "It moved")
    change(template.parent / "moved")
    update(child)
    assert tomllib.loads((child / ".template.toml").read_text())["template"] == str(template.parent / "moved")
    edit(child / ".template.toml", str(template.parent / "moved"), "../moved")
    commit(child, "It is a neighbour")
    assert "nothing is new" not in update(child, "--dry_run")
    update(child)
    shutil.rmtree(template.parent / "moved/scripts")
    commit(template.parent / "moved", "No scripts")
    assert "cannot render the template at " in update(child, code=2)
    edit(child / ".template.toml", 'commit = "', 'commit = "--')
    commit(child, "Damaged")
    assert update(child, code=2).startswith(f"error: {child / '.template.toml'} is damaged: ")
