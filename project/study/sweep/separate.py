"""A function in a process of its own, so that this one does not start the threads of torch, which a fork loses."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from project.core.cli.main import report_error
from project.core.distributed.signals import TERMINATION_SIGNALS, Interrupted
from project.core.errors import ConfigError, RunStopped, is_user_error, user_message
from project.core.files import write_text
from project.core.log import logging_to_console
from project.study.sweep.process import Children, redirect_output

_SIGNALS = (*TERMINATION_SIGNALS, signal.SIGINT)


def call_separately(
    function: Callable[[], None], what: str, log: Path | None = None, children: Children | None = None
) -> None:
    """Call a function in a process of its own, and wait for it.

    Args:
        function: the function, whose result is ignored.
        what: what it does, for the message if its code fails.
        log: file to which its output is appended; None shows it only if its code fails.
        children: passes signals on to the process; None passes none.

    Raises:
        ConfigError: the function raised a mistake of the user.
        Interrupted: a signal ended the process.
        RunStopped: it ended in another way.
    """
    children = children or Children()
    with TemporaryDirectory() as directory:
        mistake, output = Path(directory, "mistake.txt"), log or Path(directory, "output.txt")
        code = children.wait(children.start(_call, function, mistake, output))
        if code == 0:
            return
        if children.number:
            raise Interrupted(children.number)
        if mistake.is_file():
            raise ConfigError(mistake.read_text(encoding="utf-8"))
        if log is None and output.is_file():
            sys.stderr.write(output.read_text(encoding="utf-8", errors="replace"))
    ended = f"signal {-code} ended it" if code < 0 else f"exit code {code}; see {log or 'above'}"
    raise RunStopped(f"{what} failed: {ended}")


def _call(function: Callable[[], None], mistake: Path, output: Path) -> int:
    """Call the function in its process; return the exit code."""
    redirect_output(output)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        function()
    except BaseException as error:
        if is_user_error(error):
            write_text(mistake, user_message(error))
        with logging_to_console("INFO"):
            return report_error(error)
    return 0
