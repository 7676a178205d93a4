"""A stage in a process of its own, forked from one that has imported torch: as fresh as a new one, and cheap."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from project.core.cli.main import main
from project.core.distributed.signals import Interruption, die_with_parent
from project.core.run.pruning import Pruning


def run_stage(argv: Sequence[str], log: Path, pruning: Pruning | None = None) -> int:
    """Run a stage of cli.py in a forked process; return its exit code, or minus the signal that ended it.

    The calling process must not have used torch's threads or a GPU, which a fork does not copy.

    Args:
        argv: the stage and its options.
        log: file to which its output is appended.
        pruning: decides whether a training ends early.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        os._exit(_run(argv, log, pruning))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _run(argv: Sequence[str], log: Path, pruning: Pruning | None) -> int:
    die_with_parent()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(output, stream)
    sys.argv = [sys.argv[0], *argv]
    code = main(argv, Interruption(), pruning)
    sys.stdout.flush()
    sys.stderr.flush()
    return code
