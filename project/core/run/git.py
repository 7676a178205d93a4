"""The git commit of the code in the working directory, and what differs from it."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_MAX_DIFF = 2**20  # bytes; larger new files are named, without their content
# A repository may name programs for these; none is run. Filters such as that of git-lfs are: without them, its files
# would differ.
_OPTIONS = ("core.fsmonitor=false", f"core.hooksPath={os.devnull}", f"core.bigFileThreshold={_MAX_DIFF}")


@dataclass(frozen=True)
class GitState:
    """State of a git checkout.

    Args:
        commit: the commit; None outside a checkout, or if git cannot be run.
        diff: difference to the commit, including new files; None if it is not known.
    """

    commit: str | None
    diff: str | None

    @property
    def is_dirty(self) -> bool | None:
        """Whether files differ from the commit; None if it is not known."""
        return None if self.diff is None else bool(self.diff)


def read_git(directory: Path | None = None) -> GitState:
    """Return the state of the checkout that contains a directory; its index does not change.

    Args:
        directory: the directory; None for the working directory.
    """
    paths = _git("rev-parse", "HEAD", "--git-path", "index", directory=directory)
    if paths is None:
        return GitState(None, None)
    commit, _, index = paths.removesuffix("\n").partition("\n")
    return GitState(commit, _read_diff(Path(directory or "", index), directory))


def describe_commit() -> str | None:
    """Return the commit of the project, with `+` if files differ from it; None outside a git checkout."""
    git = read_git()
    return f"{git.commit}{'+' if git.is_dirty else ''}" if git.commit else None


def _read_diff(index: Path, checkout: Path | None) -> str | None:
    if not index.is_file():
        return None
    with tempfile.TemporaryDirectory() as directory:
        copied = shutil.copy2(index, directory)  # with its time, from which git sees that a file may be newer
        # The whole checkout, also from an ignored directory. Errors: a new repository in it that has no commit yet.
        _git("add", "--ignore-errors", "--intent-to-add", ":/", index=copied, directory=checkout)
        shown = ["diff", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD"]
        diff = _git(*shown, index=copied, directory=checkout)
        if diff is None or len(diff) <= _MAX_DIFF:
            return diff
        names = (_git(*shown, "--name-status", index=copied, directory=checkout) or "")[:_MAX_DIFF]
    whole_lines = diff[:_MAX_DIFF].rpartition("\n")[0]
    return f"{whole_lines}\n\nCut after {_MAX_DIFF} bytes. All files that differ from the commit:\n{names}"


def _git(*arguments: str, index: str | None = None, directory: Path | None = None) -> str | None:
    """Return the output of git, little more than `_MAX_DIFF` of it; None if git fails, such as outside a repository.

    Written with `write_text`, it is the output byte for byte.
    """
    environment = os.environ | ({"GIT_INDEX_FILE": index} if index else {})
    options = [word for option in _OPTIONS for word in ("-c", option)]
    try:
        process = subprocess.Popen(
            ["git", *options, *arguments],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
    except OSError:  # not installed, or not allowed
        return None
    with process:
        assert process.stdout is not None
        output = process.stdout.read(_MAX_DIFF + 1)
        is_cut = len(output) > _MAX_DIFF
        if is_cut:
            process.kill()
    return output.decode(errors="surrogateescape") if is_cut or process.returncode == 0 else None
