"""Update of a project to a later version of its template.

The branch `template` contains the template, renamed for this project, with one commit per update. An update adds a
commit to it and merges the branch, so changes on both sides are ordinary conflicts.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from new_project.git import Git, UserError
from new_project.record import Record, read_record

BRANCH = "template"
TERMINATION_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


def update(project: Path, dry_run: bool) -> int:
    """Merge the changes of the template, or show them; return the exit code, which is 1 if there are conflicts.

    Args:
        project: directory of the project.
        dry_run: show the difference and change nothing.

    Raises:
        UserError: the state of the project does not allow a merge, or the template cannot be read.
    """
    record = read_record(project)
    git = Git(project).with_identity()
    _check(git)
    with TemporaryDirectory() as folder:
        template = _clone(record.source(project), Path(folder) / "template")
        commit = template("rev-parse", "HEAD")
        news = template("log", "--format=- %s", f"{record.commit}..{commit}", check=False)
        known = _find_merged(git, record.commit)
        before = known or commit_render(git, _render(git, template, record), record.commit)
        tree = _render(git, template, record._replace(commit=commit))
    after = before if tree == git("rev-parse", f"{before}^{{tree}}") else commit_render(git, tree, commit, before, news)
    if dry_run:
        print(git("diff", "--no-ext-diff", "--stat", "--patch", before, after) or "nothing is new")
        return 0
    _check_untracked(git, after)
    print(f"{record.template}: {record.commit[:10]} to {commit[:10]}\n{news}".rstrip())
    # git inherits the mask: a merge is not interrupted halfway.
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *TERMINATION_SIGNALS})
    if not known:  # as in a shallow clone: record the template at the time of the last update as merged
        git("merge", "-q", "-s", "ours", "--allow-unrelated-histories", "-m", "Record the merged template", before)
    git("update-ref", f"refs/heads/{BRANCH}", after)
    return _merge(git, f"Update from the template at {commit[:10]}")


def commit_render(git: Git, tree: str, commit: str, parent: str = "", news: str = "") -> str:
    """Commit the renamed template, on no branch; the message ends with the line of `_trailer`."""
    parents = ["-p", parent] if parent else []
    message = f"The template at {commit[:10]}\n\n{news}\n\n{_trailer(commit, tree)}"
    return git("commit-tree", tree, *parents, "-m", message)


def _trailer(commit: str, tree: str) -> str:
    """Return the line that marks an unmodified commit of the template. Stored in commits: do not edit."""
    return f"Template: {commit} as {tree}"


def _find_merged(git: Git, commit: str) -> str:
    """Return the merged commit that contains exactly this commit of the template, or an empty string."""
    for name in git("log", "--format=%H", "--fixed-strings", f"--grep=Template: {commit} as ").split():
        if _trailer(commit, git("rev-parse", f"{name}^{{tree}}")) in git("log", "-1", "--format=%B", name):
            return name
    return ""


def _check(git: Git) -> None:
    git.check_top("the project")
    branch = git("symbolic-ref", "-q", "HEAD", check=False)
    if not branch or any((git.folder / git("rev-parse", "--git-path", name)).exists() for name in _UNDER_WAY):
        raise UserError("HEAD is detached, or a merge, rebase or the like is in progress: finish that first")
    if branch == f"refs/heads/{BRANCH}":
        raise UserError(f"the branch {BRANCH}, which contains the template, is checked out: switch to your own branch")
    if git("status", "--porcelain", "--untracked-files=no"):
        raise UserError("there are uncommitted changes: commit or `git stash` them first")


def _check_untracked(git: Git, after: str) -> None:
    """Check that the merge overwrites no untracked files; git itself would overwrite ignored ones."""
    theirs, ours = (set(git("ls-tree", "-rz", "--name-only", name).split("\0")) for name in (after, "HEAD"))
    untracked = [name for name in sorted(theirs - ours) if os.path.lexists(git.folder / name)]
    if untracked:
        raise UserError(f"the update would overwrite untracked files: move them first\n{', '.join(untracked)}")


def _clone(source: str, folder: Path) -> Git:
    code, _, said = Git(folder.parent).run("-c", "core.hooksPath=/dev/null", "clone", "-q", "--", source, str(folder))
    if code:
        raise UserError(f"cannot clone the template {source}; .template.toml sets its location\n{said}")
    return Git(folder)


def _render(git: Git, template: Git, record: Record) -> str:
    """Render the template with its own scripts, and return the tree in the repository of the project."""
    with TemporaryDirectory() as folder:
        rendered = Path(folder) / record.name
        command = [sys.executable, "-m", "new_project.render", record.name, str(rendered), record.commit]
        environment = git.environment | {"PYTHONPATH": str(template.folder / "scripts")}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            why = done.stderr.strip().rpartition("\n")[2]
            raise UserError(f"cannot render the template at {record.commit[:10]}: {why}")
        record.write(rendered)
        return store(git, rendered)


def store(git: Git, files: Path) -> str:
    """Store the files of a directory in a repository and return the tree."""
    with TemporaryDirectory() as folder:
        variables = {"GIT_DIR": git("rev-parse", "--absolute-git-dir"), "GIT_INDEX_FILE": f"{folder}/index"}
        index = Git(files, GIT_WORK_TREE=str(files), **variables)
        index("add", "--all", "--force", ".")
        return index("write-tree")


def _merge(git: Git, message: str) -> int:
    code, printed, said = git.run(
        "-c", "merge.ours.driver=true", "merge", "--no-ff", "-m", message, f"refs/heads/{BRANCH}"
    )
    print(printed)
    deleted = _unmerged(git, "DU")  # deleted by us, changed by them
    for path in deleted:
        git("--literal-pathspecs", "rm", "-q", "--", path)
        print(f"stays deleted: {path}")
    left = "\n".join(_unmerged(git))
    if left:
        print(f"\nConflicts in:\n{left}\nResolve them, `git add` them, then `git commit`; or `git merge --abort`")
        return 1
    if deleted:
        code, _, said = git.run("commit", "-q", "--no-edit")
    if code:
        raise UserError(f"git cannot merge: {said}\n`git status` shows the state")
    return 0


def _unmerged(git: Git, kind: str = "") -> list[str]:
    lines = git("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames").split("\0")
    kinds = (kind,) if kind else ("DD", "AU", "UD", "UA", "DU", "AA", "UU")
    return [line[3:] for line in lines if line.startswith(kinds)]
