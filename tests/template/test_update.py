"""What changes in the template comes into a project, which keeps what is its own."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.template.conftest import ROOT, START, commit, git, run, start

# The template's own history: of these commits two touch what the project below has edited, and the last renames a file.
FIRST, LAST = "eb7f1bb", "24694fc"


@pytest.fixture
def child(template: Path, tmp_path: Path) -> Path:
    """A project with edits, additions and deletions of its own."""
    child = start(template, tmp_path, "Alpha")
    (child / "README.md").write_text("# What we found\n")
    edit(child / "Alpha/models/mlp.py", "hidden: int = 128", "hidden: int = 256")
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
    edit(template / "README.md", "# A template for research", "# The template for research")
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
    assert "-# Written" not in shown
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
    assert "hidden: int = 256" in mlp
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
    edit(template / "project/models/mlp.py", "hidden: int = 128", "hidden: int = 64")
    edit(template / "configs/denoise.yaml", "name: denoise", "name: denoised")
    new = commit(template, "Another width")
    shown = update(child, code=1)
    assert "Conflicts are left in:\nAlpha/models/mlp.py\n" in shown
    assert "stays deleted: configs/denoise.yaml" in shown
    text = (child / "Alpha/models/mlp.py").read_text()
    assert "<<<<<<< HEAD\n" in text
    assert ">>>>>>> template\n" in text
    assert "error: there are changes that are not committed" in update(child, code=2)
    git(child, "merge", "--abort")
    assert git(child, "status", "--porcelain") == ""
    assert update(child, code=1) == shown
    (child / "Alpha/models/mlp.py").write_text(text.partition("<<<<<<<")[0])
    commit(child, "Mended")
    assert tomllib.loads((child / ".template.toml").read_text())["commit"] == new
    assert "Already up to date." in update(child)


def test_an_engine_that_was_edited_is_seen(child: Path) -> None:
    edit(child / "Alpha/core/load.py", "return module.eval()", "return module.train()")
    command = ("diff", "--name-only", "template", "--", "Alpha/core")
    assert git(child, *command) == "Alpha/core/load.py"


def test_a_clone_has_no_branch_of_its_own(template: Path, child: Path, tmp_path: Path) -> None:
    new = change(template)
    for options in ([], ["--single-branch"]):
        git(tmp_path, "clone", "-q", *options, str(child), f"clone{len(options)}")
        clone = tmp_path / f"clone{len(options)}"
        assert f" to {new[:10]}\n" in update(clone)
        assert git(clone, "rev-parse", "template^") == git(child, "rev-parse", "template")
        assert (clone / "Alpha/core/added.py").exists()
        assert "hidden: int = 256" in (clone / "Alpha/models/mlp.py").read_text()


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


def test_the_history_of_the_template_itself(tmp_path: Path) -> None:
    """Eleven of its commits, one after the other, into a project with edits where two of them and a renaming are."""
    known = subprocess.run(["git", "cat-file", "-e", f"{FIRST}^{{commit}}"], cwd=ROOT, capture_output=True, check=False)
    if known.returncode:
        pytest.skip("the history of the template is not here: a shallow clone, or no clone")
    commits = git(ROOT, "rev-list", "--reverse", f"{FIRST}..{LAST}").splitlines()
    assert len(commits) == 11
    template = replayed(tmp_path / "template", [git(ROOT, "rev-parse", FIRST), *commits])
    child = start(template, tmp_path, "Alpha")
    own = {
        "configs/denoise.yaml": ("max_epochs: 20", "max_epochs: 21"),
        "pyproject.toml": ('"pillow>=11",', '"pillow>=11", "einops",'),
        "tests/test_readme.py": ('"""The README\'s commands', '"""Our README\'s commands'),
        "Alpha/models/mlp.py": ("hidden: int = 128", "hidden: int = 256"),
    }
    for name, (before, after) in own.items():
        edit(child / name, before, after)
    (child / "Alpha/losses/own.py").write_text("# own\n")
    (child / "README.md").write_text("# Our own\n")
    git(child, "rm", "-q", "Alpha/losses/focal.py", "configs/presets/profile.yaml")
    commit(child, "Our own")
    for number in range(1, 12):
        git(template, "checkout", "-q", f"replayed{number}")
        assert "CONFLICT" not in update(child)
    moved = {"tests/test_readme.py": "tests/template/test_readme.py"}
    for name, (_, after) in own.items():
        assert after in (child / moved.get(name, name)).read_text(), name
    assert not [name for name in moved if (child / name).exists()]
    assert (child / "README.md").read_text() == "# Our own\n"
    changed = git(child, "diff", "--name-status", "-M", "template", "HEAD").splitlines()
    assert sorted(changed) == sorted(
        ["D\tAlpha/losses/focal.py", "D\tconfigs/presets/profile.yaml", "A\tAlpha/losses/own.py", "M\tREADME.md"]
        + [f"M\t{moved.get(name, name)}" for name in own]
    )  # fmt: skip


def replayed(folder: Path, commits: list[str]) -> Path:
    """A repository with the same commits, each with today's scripts: tags replayed0, replayed1, ..."""
    git(folder.parent, "clone", "-q", str(ROOT), str(folder))
    parents: list[str] = []
    for number, old in enumerate(commits):
        git(folder, "checkout", "-q", "--force", "--detach", old)
        shutil.copytree(ROOT / "scripts", folder / "scripts", dirs_exist_ok=True)
        git(folder, "add", "--all")
        new = git(folder, "commit-tree", git(folder, "write-tree"), *parents, "-m", old)
        git(folder, "tag", f"replayed{number}", new)
        parents = ["-p", new]
    git(folder, "checkout", "-q", "--force", "replayed0")
    return folder
