"""Brings a template's later changes into a project that came from it.

The branch `template` holds the template as this project has it, name and all, a commit for each update. The next one is
put on top, and git merges it: what both sides changed since is an ordinary conflict.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from new_project.git import Git, Mistake
from new_project.record import Record, read_record

BRANCH = "template"


def update(project: Path, dry_run: bool) -> int:
    """Merges what is new, or shows it; returns the exit code: 1 where conflicts are left.

    Args:
        project: its folder.
        dry_run: show the difference and change nothing.

    Raises:
        Mistake: the project has changes that are not committed, or there is no such template.
    """
    git, record = Git(project).sign(), read_record(project)
    if git("status", "--porcelain", "--untracked-files=no"):
        raise Mistake("there are changes that are not committed: commit them first, or `git stash` them")
    if git("symbolic-ref", "--short", "HEAD", check=False) == BRANCH:
        raise Mistake(f"this is the branch {BRANCH}, which holds the template: go back to your own")
    before = _before(git)
    with TemporaryDirectory() as folder:
        template = Git(Path(folder) / "template")
        _clone(record.template, template.folder)
        commit = template("rev-parse", "HEAD")
        news = template("log", "--format=- %s", f"{record.commit}..{commit}", check=False)
        tree = _render(git, template, record._replace(commit=commit), Path(folder))
    after = before
    if tree != git("rev-parse", f"{before}^{{tree}}"):
        message = f"The template at {commit[:10]}\n\n{news}"
        after = git("commit-tree", tree, "-p", before, "-m", message)
    if dry_run:
        print(git("diff", "--stat", "--patch", git("merge-base", "HEAD", before), after) or "nothing is new")
        return 0
    git("update-ref", f"refs/heads/{BRANCH}", after)
    print(f"{record.template}: {record.commit[:10]} to {commit[:10]}\n{news}".rstrip())
    return _merge(git, commit)


def _before(git: Git) -> str:
    """The template as it was taken last: its branch, here or of a remote, or the project's first commit."""
    branches = git("for-each-ref", "--format=%(refname)", f"refs/heads/{BRANCH}", f"refs/remotes/*/{BRANCH}")
    return git("rev-parse", branches.split("\n")[0] if branches else git("rev-list", "--max-parents=0", "HEAD"))


def _clone(source: str, folder: Path) -> None:
    try:
        Git(folder.parent)("clone", "-q", source, str(folder))
    except Mistake as mistake:
        raise Mistake(
            f"the template {source} cannot be cloned; .template.toml says where it is\n{mistake}"
        ) from mistake


def _render(git: Git, template: Git, record: Record, folder: Path) -> str:
    """The tree, in git's store, of the template under the project's name, by the template's own rules."""
    rendered = folder / "rendered"
    command = [sys.executable, "-m", "new_project.render", record.name, str(rendered)]
    done = subprocess.run(command, cwd=template.folder / "scripts", capture_output=True, text=True, check=False)
    if done.returncode:
        raise Mistake(f"the template's scripts/new_project/render.py failed:\n{done.stderr.strip()}")
    record.write(rendered)
    store = Git(
        rendered,
        GIT_DIR=git("rev-parse", "--absolute-git-dir"),
        GIT_WORK_TREE=str(rendered),
        GIT_INDEX_FILE=str(folder / "index"),
    )
    store("add", "--all", "--force", ".")
    return store("write-tree")


def _merge(git: Git, commit: str) -> int:
    message = f"Update from the template at {commit[:10]}"
    print(git("-c", "merge.ours.driver=true", "merge", "--no-ff", "-m", message, BRANCH, check=False))
    lines = [line.split(" ", 1) for line in git("status", "--porcelain", "--untracked-files=no").splitlines()]
    for path in [path for kind, path in lines if kind == "DU"]:  # deleted by us, changed by them
        git("rm", "-q", "--", path)
        print(f"stays deleted: {path}")
    left = git("diff", "--name-only", "--diff-filter=U")
    if left:
        print(
            f"\nConflicts are left in:\n{left}\nMend them and `git add` them, then `git commit`; or `git merge --abort`"
        )
        return 1
    if git("rev-parse", "-q", "--verify", "MERGE_HEAD", check=False):
        git("commit", "-q", "--no-edit")
    return 0
