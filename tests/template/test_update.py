"""What changes in the template comes into a project, which keeps what is its own."""

import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from tests.template.conftest import START, commit, git, run, start


@pytest.fixture
def child(template: Path, tmp_path: Path) -> Path:
    """A project with edits, additions and deletions of its own."""
    child = start(template, tmp_path, "Alpha")
    (child / "README.md").write_text("# What we found\n")
    edit(child / "Alpha/models/mlp.py", "depth: int = 2", "depth: int = 3")
    edit(child / "cli.py", "import sys", "import sys  # own")
    (child / "Alpha/models/own.py").write_text("# own\n")
    git(child, "rm", "-q", "configs/denoise.yaml", "Alpha/losses/focal.py")
    commit(child, "Our own")
    return child


def edit(path: Path, before: str, after: str) -> None:
    """Replaces what stands in a file once."""
    text = path.read_text()
    assert text.count(before) == 1, f"{path} has {text.count(before)} times: {before}"
    path.write_text(text.replace(before, after))


def update(child: Path, *options: str, code: int = 0) -> str:
    """What an update prints."""
    return run(child, sys.executable, START, "--update", *options, code=code)


def change(template: Path) -> str:
    """A commit of changes: of what the project has edited elsewhere or deleted, an addition, a renaming, a deletion."""
    edit(template / "project/models/mlp.py", '"""Multilayer perceptron."""', '"""The multilayer perceptron."""')
    edit(template / "README.md", "and name them in one yaml", "and name all in one yaml")
    edit(template / "configs/denoise.yaml", "name: denoise", "name: denoised")
    edit(template / "project/losses/focal.py", "from torch import Tensor", "from torch import Tensor  # changed")
    (template / "project/core/added.py").write_text("from project.core import errors as errors\n")
    git(template, "mv", "project/core/pictures.py", "project/core/images.py")
    git(template, "rm", "-q", "project/losses/mse.py")
    return commit(template, "Many changes")


def test_both_sides_are_kept(template: Path, child: Path) -> None:
    new, before = change(template), git(child, "rev-parse", "HEAD", "template")
    shown = update(child, "--dry_run")
    assert "+from Alpha.core import errors as errors\n" in shown
    assert "rename from Alpha/core/pictures.py" in shown
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
    assert "depth: int = 3" in mlp
    assert "import sys  # own" in (child / "cli.py").read_text()
    there = {path: (child / "Alpha" / path).exists() for path in ("models/own.py", "core/added.py", "core/images.py")}
    assert all(there.values()), there
    gone = ("core/pictures.py", "losses/mse.py", "losses/focal.py", "../configs/denoise.yaml")
    assert not [path for path in gone if (child / "Alpha" / path).exists()]
    assert tomllib.loads((child / ".template.toml").read_text())["commit"] == new
    assert git(child, "diff", "--name-only", "template", "--", "Alpha/core") == ""
    assert "Already up to date." in update(child)
    assert update(child, "--dry_run") == "nothing is new\n"
    run(child, sys.executable, "-m", "ruff", "check", "--no-cache", "Alpha", "cli.py")


def test_a_conflict_is_one_of_git(template: Path, child: Path) -> None:
    edit(template / "project/models/mlp.py", "depth: int = 2", "depth: int = 1")
    edit(template / "configs/denoise.yaml", "name: denoise", "name: denoised")
    new = commit(template, "Another width")
    shown = update(child, code=1)
    assert "Conflicts are left in:\nAlpha/models/mlp.py\n" in shown
    assert "stays deleted: configs/denoise.yaml" in shown
    text = (child / "Alpha/models/mlp.py").read_text()
    assert "<<<<<<< HEAD\n" in text
    assert ">>>>>>> refs/heads/template\n" in text
    assert "error: you are on no branch, or in the middle of a merge" in update(child, code=2)
    git(child, "merge", "--abort")
    assert git(child, "status", "--porcelain") == ""
    assert update(child, code=1) == shown
    (child / "Alpha/models/mlp.py").write_text(text.partition("<<<<<<<")[0])
    commit(child, "Mended")
    assert tomllib.loads((child / ".template.toml").read_text())["commit"] == new
    assert "Already up to date." in update(child)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["single branch", "shallow", "rebased", "amended", "begun anew"])
def test_however_git_has_lost_the_branch(template: Path, child: Path, tmp_path: Path, way: str) -> None:
    """Git does not know what was merged: the project's own is kept nevertheless."""
    change(template)
    update(child)
    if way == "rebased":  # a commit of the template's, on top of the project's own
        git(child, "reset", "-q", "--soft", "HEAD^1")
        commit(child, git(child, "log", "-1", "--format=%B", "template"))
    if way == "amended":
        git(child, "reset", "-q", "--soft", git(child, "rev-list", "--max-parents=0", "HEAD"))
        git(child, "commit", "-q", "--amend", "-m", "All is the first")
    if way == "begun anew":
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
    assert "depth: int = 3" in mlp
    assert not (clone / "Alpha/losses/focal.py").exists()
    assert tomllib.loads((clone / ".template.toml").read_text())["commit"] == new
    assert git(clone, "status", "--porcelain") == ""
    assert "Already up to date." in update(clone)


def test_what_stands_in_the_way(template: Path, child: Path) -> None:
    """Files that git does not track are not overwritten."""
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
        "error: git does not track these, and the template has them: move them first\n"
        "Alpha/core/added.py, configs/denoise.yaml\n"
    )
    assert git(child, "rev-parse", "HEAD", "template") == before
    assert (child / "configs/denoise.yaml").read_text() == "# mine\n"


def test_odd_names(template: Path, child: Path) -> None:
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


def test_what_git_refuses_is_said(template: Path, child: Path) -> None:
    change(template)
    hook = child / ".git/hooks/pre-merge-commit"
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    edit(template / "configs/denoise.yaml", "name: denoised", "name: denoise")
    git(child, "checkout", "-q", "template", "--", "configs/denoise.yaml", "Alpha/losses/focal.py")
    commit(child, "Nothing is deleted")
    shown = update(child, code=2)
    assert "error: git could not merge: not today" in shown
    assert "`git status` says where it stands" in shown


@pytest.mark.parametrize("state", ["detached", "merging", "in another repository"])
def test_states_in_which_nothing_is_merged(template: Path, child: Path, tmp_path: Path, state: str) -> None:
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
        git(tmp_path, "init", "-q")
        commit(tmp_path, "All projects")
    head = git(child, "rev-parse", "HEAD")
    says = "must be a git repository of its own" if state == "in another repository" else "you are on no branch, or in"
    assert says in update(child, code=2)
    assert git(child, "rev-parse", "HEAD") == head


def test_what_cannot_be_updated(template: Path, child: Path) -> None:
    assert update(template, code=2).startswith(f"error: {template} was not started from a template: ")
    edit(child / "cli.py", "import sys  # own", "import sys  # mine")
    assert (
        update(child, code=2)
        == "error: there are changes that are not committed: commit them first, or `git stash` them\n"
    )
    git(child, "checkout", "-q", "--force", "template")
    assert update(child, code=2).startswith("error: this is the branch template, ")
    git(child, "checkout", "-q", "main")
    template.rename(template.parent / "moved")
    shown = update(child, code=2)
    assert shown.startswith(f"error: the template {template} cannot be cloned; .template.toml says where it is\n")
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
    assert "cannot be taken over: " in update(child, code=2)
    edit(child / ".template.toml", 'commit = "', 'commit = "--')
    commit(child, "Damaged")
    assert update(child, code=2).startswith(f"error: {child / '.template.toml'} is damaged: ")
