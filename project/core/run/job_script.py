"""The script job.sh of a run, which repeats the run, and git.diff with uncommitted changes."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from project.core.file_names import MAX_LENGTH
from project.core.files import write_text

_RERUN = "_rerun"
_SCRIPT = """#!/usr/bin/env bash
# Runs {name} again under the name {rerun}; further options may follow. Can be submitted with sbatch.
# Written {time}, commit {commit}
#SBATCH --ntasks-per-node=1 --requeue --open-mode=append --signal=USR1@120
[ -n "${{BASH_VERSION:-}}" ] || exec bash "$0" "$@"  # also called as `sh job.sh`
set -e
here=$(CDPATH='' cd -- "$(dirname -- "${{BASH_SOURCE[0]}}")" && pwd)
[ -f "$here/config.yaml" ] || here={run}  # sbatch runs a copy of this file
cd {directory}
set -- --config "$here/config.yaml" --name {rerun} {options}"$@"
# In a Slurm job, but not in one of its steps or in a shell on a node.
if [ -n "${{SLURM_PROCID:-}}" ] && [ -z "${{SLURM_STEP_ID:-}}" ]; then exec bash scripts/slurm.sh "$@"; fi
exec python cli.py fit "$@"
"""


def write_job_script(run: Path, options: Sequence[str] = ()) -> None:
    """Write job.sh, and git.diff if files differ from the commit.

    Args:
        run: the run directory.
        options: further options, such as --finetune and its path.
    """
    commit = _git("rev-parse", "HEAD").strip() or "unknown (not a git checkout)"
    diff = _git_diff()
    if diff:
        write_text(run / "git.diff", diff)
        commit = f"{commit} with the changes of git.diff"
    script = _SCRIPT.format(
        name=run.name,
        rerun=shlex.quote(f"{run.name[: MAX_LENGTH - len(_RERUN)]}{_RERUN}"),
        time=datetime.now().isoformat(" ", "seconds"),
        commit=commit,
        run=shlex.quote(str(run)),
        directory=shlex.quote(str(Path.cwd())),
        options="".join(f"{shlex.quote(word)} " for word in options),
    )
    write_text(run / "job.sh", script)


def describe_commit() -> str | None:
    """Return the commit of the project, with `+` if files differ from it; None outside a git checkout."""
    commit = _git("rev-parse", "HEAD").strip()
    return f"{commit}{'+' if _git_diff() else ''}" if commit else None


def _git_diff() -> str:
    """Return the difference to the commit, including new files; the index does not change."""
    index = Path(_git("rev-parse", "--git-path", "index").removesuffix("\n"))
    if not index.is_file():
        return ""
    with tempfile.TemporaryDirectory() as directory:
        copied = shutil.copy2(index, directory)  # with its time, from which git sees that a file may be newer
        _git("add", "--intent-to-add", ".", index=copied)
        return _git("diff", "--no-color", "--no-ext-diff", "HEAD", index=copied)


def _git(*arguments: str, index: str | None = None) -> str:
    """Return the output of git, byte for byte if it is written with `write_text`; empty outside a repository."""
    environment = os.environ | ({"GIT_INDEX_FILE": index} if index else {})
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, env=environment)
    except FileNotFoundError:
        return ""
    return done.stdout.decode(errors="surrogateescape") if done.returncode == 0 else ""
