"""The script job.sh of a run, which repeats the run."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from project.core.file_names import MAX_LENGTH
from project.core.files import write_text
from project.core.installation import find_shared, start_word
from project.core.run.git import GitState

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
if [ -n "${{SLURM_PROCID:-}}" ] && [ -z "${{SLURM_STEP_ID:-}}" ]; then {slurm} "$@"; fi
exec python {start} fit "$@"
"""


def write_job_script(run: Path, git: GitState, options: Sequence[str] = ()) -> None:
    """Write job.sh.

    Args:
        run: the run directory.
        git: state of the code.
        options: further options, such as --finetune and its path.
    """
    commit = git.commit or "unknown (no git checkout, or one that git refuses)"
    if git.commit and git.is_dirty is not False:
        commit += " with the changes of git.diff" if git.diff else " (git does not tell what differs from it)"
    here = Path.cwd()
    start = shlex.quote(start_word(here))
    slurm = Path("scripts/slurm.sh")
    if start != "cli.py" or not slurm.is_file():
        slurm = find_shared("scripts/slurm.sh") or slurm
    variable = "" if start == "cli.py" else f"CLI_START={start} "
    script = _SCRIPT.format(
        name=run.name,
        rerun=shlex.quote(f"{run.name[: MAX_LENGTH - len(_RERUN)]}{_RERUN}"),
        time=datetime.now().isoformat(" ", "seconds"),
        commit=commit,
        run=shlex.quote(str(run)),
        directory=shlex.quote(str(here)),
        start=start,
        slurm=f"{variable}exec bash {shlex.quote(str(slurm))}",
        options="".join(f"{shlex.quote(word)} " for word in options),
    )
    write_text(run / "job.sh", script)
