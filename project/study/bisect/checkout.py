"""The code of a run in a temporary directory: its commit, with its git.diff."""

import os
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from project.core.run.git import GitState
from project.study.bisect.surroundings import CODE, describe_code

PACKAGE = __name__.partition(".")[0]
WORKER = f"{PACKAGE}.study.bisect.worker"
_CUT = "\n\nCut after "  # written by core/run/git.py


class NoCode(Exception):
    """The code of a run cannot be restored; the message says why."""


def check_out(code: GitState, stack: ExitStack) -> Path:
    """Write the code of a run to a temporary directory, which `stack` removes; return the one with the package.

    The repository that contains this package does not change.

    Raises:
        NoCode: the repository does not contain the commit, the changes are unknown, or the code has no such command.
    """
    if code.commit is None or code.diff is None:
        raise NoCode("the run does not tell it")
    if _CUT in code.diff:
        raise NoCode("its git.diff is cut, since it is too large")
    top = _git(CODE, "rev-parse", "--show-toplevel").removesuffix("\n")
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bisect.")))
    tree, index = directory / "code", directory / "index"
    tree.mkdir()
    _git(
        Path(top),
        "cat-file",
        "-e",
        f"{code.commit}^{{commit}}",
        missing=f"this repository has no {describe_code(code)}",
    )
    _git(Path(top), "read-tree", code.commit, index=index)
    _git(Path(top), "checkout-index", "--all", f"--prefix={tree}{os.sep}", index=index)
    if code.diff:
        file = directory / "git.diff"
        file.write_bytes(code.diff.encode(errors="surrogateescape"))
        _git(tree, "apply", "--whitespace=nowarn", str(file), missing="its git.diff cannot be applied to its commit")
    restored = tree / CODE.resolve().relative_to(Path(top).resolve())
    if not (restored / Path(*WORKER.split("."))).with_suffix(".py").is_file():
        raise NoCode("it is older than this command")
    return restored


def _git(directory: Path, *arguments: str, index: Path | None = None, missing: str = "") -> str:
    """Return the output of git.

    Args:
        directory: where it runs.
        arguments: its arguments.
        index: file to use as the index.
        missing: why it fails, for a message; empty for what git says.

    Raises:
        NoCode: git fails, or is not installed.
    """
    environment = os.environ | {"LC_ALL": "C"} | ({"GIT_INDEX_FILE": str(index)} if index else {})
    if arguments[0] == "apply":  # in the directory itself, also if a repository contains it
        environment["GIT_CEILING_DIRECTORIES"] = str(directory.parent)
    command = ["git", "-c", f"core.hooksPath={os.devnull}", *arguments]
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, errors="surrogateescape"
        )
    except OSError as error:
        raise NoCode("git cannot be run") from error
    if done.returncode != 0:
        raise NoCode(missing or f"git says: {done.stderr.strip().partition(chr(10))[0]}")
    return done.stdout
