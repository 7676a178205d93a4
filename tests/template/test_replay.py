"""Replay of the template's history, commit by commit, as updates of an edited project."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.template.conftest import ROOT, commit, git, start
from tests.template.test_update import edit, update

# Two of these commits change files that the project below edits, and the last one renames such a file.
FIRST, LAST = "eb7f1bb", "24694fc"


@pytest.mark.slow
def test_the_history_of_the_template_itself(tmp_path: Path) -> None:
    """Merges eleven commits one by one; two of them and a renaming touch files that the project edited."""
    known = subprocess.run(["git", "cat-file", "-e", f"{FIRST}^{{commit}}"], cwd=ROOT, capture_output=True, check=False)
    if known.returncode:
        pytest.skip("the history of the template is missing: this is a shallow clone or no clone")
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
    """Create a repository with the same commits, each with the current scripts, tagged replayed0, replayed1, ..."""
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
