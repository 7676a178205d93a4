"""A function in a process of its own, so that this one does not start the threads of torch, which a fork loses."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

from project.core.cli.main import report_error
from project.core.distributed.signals import die_with_parent
from project.core.errors import ConfigError, RunStopped, is_user_error, user_message
from project.core.log import logging_to_console


def call_forked(function: Callable[[], None], what: str, log: Path | None = None) -> None:
    """Call a function in a forked process, and wait for it.

    Args:
        function: the function, whose result is ignored.
        what: what it does, for the message if its code fails.
        log: file to which its output is appended; None shows it only if its code fails.

    Raises:
        ConfigError: the function raised a mistake of the user.
        RunStopped: the process ended in another way.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with TemporaryFile() as mistake, log.open("ab") if log is not None else TemporaryFile() as output:
        process = os.fork()
        if process == 0:
            os._exit(_call(function, mistake.fileno(), output.fileno()))
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if code == 0:
            return
        mistake.seek(0)
        if text := mistake.read().decode():
            raise ConfigError(text)
        if log is None:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace"))
        ended = f"signal {-code} ended it" if code < 0 else f"exit code {code}; see {log or 'above'}"
        raise RunStopped(f"{what} failed: {ended}")


def _call(function: Callable[[], None], mistake: int, output: int) -> int:
    """Call the function in the forked process; return its exit code."""
    die_with_parent()
    for stream in (1, 2):
        os.dup2(output, stream)
    with open(output, "w", closefd=False) as sys.stdout:
        sys.stderr = sys.stdout
        code = 0
        try:
            function()
        except BaseException as error:
            if is_user_error(error):
                os.write(mistake, user_message(error).encode())
            with logging_to_console("INFO"):
                code = report_error(error)
    return code
