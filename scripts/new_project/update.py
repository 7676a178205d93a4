"""Brings a template's later changes into a project that came from it.

The branch `template` holds the template as this project has it, name and all, a commit for each update. The next one is
put on top, and git merges it: what both sides changed since is an ordinary conflict.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from new_project.git import Git, Mistake
from new_project.record import Record, read_record

BRANCH = "template"
_UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


def update(project: Path, dry_run: bool) -> int:
    """Merges what is new, or shows it; returns the exit code: 1 where conflicts are left.

    Args:
        project: its folder.
        dry_run: show the difference and change nothing.

    Raises:
        Mistake: the project is not in a state to be merged into, or there is no such template.
    """
    record = read_record(project)
    git = Git(project).with_identity()
    _check(git)
    with TemporaryDirectory() as folder:
        template = _clone(record.source(project), Path(folder) / "template")
        commit = template("rev-parse", "HEAD")
        news = template("log", "--format=- %s", f"{record.commit}..{commit}", check=False)
        known = _known(git, record.commit)
        before = known or commit_render(git, _render(git, template, record), record.commit)
        tree = _render(git, template, record._replace(commit=commit))
    after = before if tree == git("rev-parse", f"{before}^{{tree}}") else commit_render(git, tree, commit, before, news)
    if dry_run:
        print(git("diff", "--no-ext-diff", "--stat", "--patch", before, after) or "nothing is new")
        return 0
    _check_way(git, after)
    print(f"{record.template}: {record.commit[:10]} to {commit[:10]}\n{news}".rstrip())
    # Git has them blocked, too: a merge is not left halfway.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    if not known:  # as in a shallow clone: what was taken then is said to be merged
        git("merge", "-q", "-s", "ours", "--allow-unrelated-histories", "-m", "What the template was", before)
    git("update-ref", f"refs/heads/{BRANCH}", after)
    return _merge(git, f"Update from the template at {commit[:10]}")


def commit_render(git: Git, tree: str, commit: str, parent: str = "", news: str = "") -> str:
    """Commits the template under the project's name, on no branch; its message says of what it is pure."""
    parents = ["-p", parent] if parent else []
    message = f"The template at {commit[:10]}\n\n{news}\n\n{_pure(commit, tree)}"
    return git("commit-tree", tree, *parents, "-m", message)


def _pure(commit: str, tree: str) -> str:
    return f"Template: {commit} as {tree}"


def _known(git: Git, commit: str) -> str:
    """The project's commit that holds the template's and nothing else, if git knows it to be merged."""
    for name in git("log", "--format=%H", "--fixed-strings", f"--grep=Template: {commit} as ").split():
        if _pure(commit, git("rev-parse", f"{name}^{{tree}}")) in git("log", "-1", "--format=%B", name):
            return name
    return ""


def _check(git: Git) -> None:
    git.check_top("the project")
    branch = git("symbolic-ref", "-q", "HEAD", check=False)
    if not branch or any((git.folder / git("rev-parse", "--git-path", name)).exists() for name in _UNDER_WAY):
        raise Mistake("you are on no branch, or in the middle of a merge, rebase or the like: finish that first")
    if branch == f"refs/heads/{BRANCH}":
        raise Mistake(f"this is the branch {BRANCH}, which holds the template: go back to your own")
    if git("status", "--porcelain", "--untracked-files=no"):
        raise Mistake("there are changes that are not committed: commit them first, or `git stash` them")


def _check_way(git: Git, after: str) -> None:
    """Git would overwrite what it ignores."""
    theirs, ours = (set(git("ls-tree", "-rz", "--name-only", name).split("\0")) for name in (after, "HEAD"))
    in_the_way = [name for name in sorted(theirs - ours) if os.path.lexists(git.folder / name)]
    if in_the_way:
        raise Mistake(f"git does not track these, and the template has them: move them first\n{', '.join(in_the_way)}")


def _clone(source: str, folder: Path) -> Git:
    code, _, said = Git(folder.parent).run("-c", "core.hooksPath=/dev/null", "clone", "-q", "--", source, str(folder))
    if code:
        raise Mistake(f"the template {source} cannot be cloned; .template.toml says where it is\n{said}")
    return Git(folder)


def _render(git: Git, template: Git, record: Record) -> str:
    """The tree, in git's store, of the template under the project's name, by the template's own rules."""
    with TemporaryDirectory() as folder:
        rendered = Path(folder) / record.name
        command = [sys.executable, "-m", "new_project.render", record.name, str(rendered), record.commit]
        environment = git.environment | {"PYTHONPATH": str(template.folder / "scripts")}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            why = done.stderr.strip().rpartition("\n")[2]
            raise Mistake(f"the template at {record.commit[:10]} cannot be taken over: {why}")
        record.write(rendered)
        return store(git, rendered)


def store(git: Git, files: Path) -> str:
    """The tree, in a repository's store, of a folder's files."""
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
    deleted = _unmerged(git, "DU")  # by us, and changed by them
    for path in deleted:
        git("--literal-pathspecs", "rm", "-q", "--", path)
        print(f"stays deleted: {path}")
    left = "\n".join(_unmerged(git))
    if left:
        print(
            f"\nConflicts are left in:\n{left}\nMend them and `git add` them, then `git commit`; or `git merge --abort`"
        )
        return 1
    if deleted:
        code, _, said = git.run("commit", "-q", "--no-edit")
    if code:
        raise Mistake(f"git could not merge: {said}\n`git status` says where it stands")
    return 0


def _unmerged(git: Git, kind: str = "") -> list[str]:
    lines = git("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames").split("\0")
    kinds = (kind,) if kind else ("DD", "AU", "UD", "UA", "DU", "AA", "UU")
    return [line[3:] for line in lines if line.startswith(kinds)]
