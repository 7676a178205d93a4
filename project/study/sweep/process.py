"""Processes forked from one that has imported torch: each as fresh as a new one, and cheap."""

import gc
import multiprocessing
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType, MappingProxyType

import numpy as np
import torch

from project.core.cli.main import main
from project.core.distributed.signals import TERMINATION_SIGNALS, Interruption, die_with_parent
from project.core.garbage import exclude_objects
from project.core.installation import find_shared
from project.core.log import forget_messages
from project.core.run.pruning import Pruning

CLI = find_shared("cli.py")  # None if installed from a wheel: the sweep was started by what can start a run
_SIGNALS = (*TERMINATION_SIGNALS, signal.SIGINT)
_KILL: int = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has no other
_POLL = 0.1  # seconds


class Children:
    """Child processes, to which the first signal that asks for a stop is passed on, so that they save and end.

    `number` is that signal, 0 if there was none. A Ctrl-C after it kills them.

    Example::

        children = Children()
        children.install()
        code = children.wait(children.start(function, argument))
    """

    def __init__(self) -> None:
        self.number = 0
        self._running: dict[int, SpawnProcess | None] = {}  # by process id

    def install(self) -> None:
        """Install the signal handlers, and unblock signals that were blocked until now."""
        for number in _SIGNALS:
            signal.signal(number, self._receive)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def start(self, function: Callable[..., int], *arguments: object) -> int:
        """Start a process that calls a function and exits with the code that it returns; return its id.

        The function is called with the signals blocked, and must unblock them. Where a fork is not safe, a new process
        imports the modules again, and function and arguments are pickled.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        with _blocked_signals():  # else a signal is lost in a child without handlers, or before its id is known
            if not can_fork():
                started = multiprocessing.get_context("spawn").Process(target=_call, args=(parent, function, arguments))
                started.start()
                assert started.pid is not None
                self._running[started.pid] = started
                self._pass_on(started.pid)
                return started.pid
            process = os.fork()
            if process == 0:
                _call(parent, function, arguments)
            self._running[process] = None
            self._pass_on(process)
            return process

    def wait(self, process: int) -> int:
        """Wait until a process has ended; return its exit code, or minus the signal that ended it."""
        while (code := self.poll(process, is_waiting=True)) is None:
            pass
        return code

    def poll(self, process: int, is_waiting: bool = False) -> int | None:
        """Return the exit code of a process; None while it runs."""
        spawned = self._running[process]
        if spawned is not None:
            spawned.join(_POLL if is_waiting else 0)
            code = spawned.exitcode
        else:
            ended, status = os.waitpid(process, 0 if is_waiting else os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if ended else None
        if code is not None:
            del self._running[process]
        return code

    def kill(self, process: int) -> None:
        """Kill a process."""
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(process, _KILL)

    def _pass_on(self, process: int) -> None:
        """Send a process the signal that came while it was not yet running."""
        if self.number:
            os.kill(process, signal.SIGTERM if self.number == signal.SIGINT else self.number)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self.number:
            self.number = number
            # A terminal sends Ctrl-C to the children as well, and a second one would end them without saving.
            self._send(signal.SIGTERM if number == signal.SIGINT else number)
        elif number == signal.SIGINT:
            self._send(_KILL)

    def _send(self, number: int) -> None:
        for process in self._running:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(process, number)


def can_fork() -> bool:
    """Return whether a fork is as good as a new process: a GPU in use does not survive one, nor do parts of macOS."""
    return hasattr(os, "fork") and sys.platform != "darwin" and not torch.cuda.is_initialized()


def run_stage(argv: Sequence[str], log: Path, pruning: Pruning | None = None, children: Children | None = None) -> int:
    """Run a stage of cli.py in a process of its own; return its exit code, or minus the signal that ended it.

    The calling process must not have used torch's threads, which a fork does not copy.

    Args:
        argv: the stage and its options.
        log: file to which its output is appended.
        pruning: decides whether a training ends early.
        children: passes signals on to the process; None passes none.
    """
    children = children or Children()
    return children.wait(children.start(run_in_child, argv, log, pruning))


def run_in_child(
    argv: Sequence[str], log: Path, pruning: Pruning | None, environment: Mapping[str, str] = MappingProxyType({})
) -> int:
    """Run a stage in this process, as cli.py does; return its exit code.

    Args:
        argv: the stage and its options.
        log: file to which its output is appended.
        pruning: decides whether a training ends early.
        environment: environment variables to set.
    """
    os.environ.update(environment)
    os.environ.pop("SLURM_ARRAY_TASK_ID", None)  # `fit` would append it to the run's name
    redirect_output(log)
    sys.argv = [str(CLI or sys.argv[0]), *argv]  # Lightning starts further processes of a run with it
    forget_messages()  # those of the sweep, which a run would write to its log.txt
    random.seed()
    np.random.seed()
    torch.default_generator.seed()
    # From here on as in cli.py.
    interruption = Interruption()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interruption.install(with_sigint=False)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    gc.disable()
    exclude_objects()
    code = main(argv, interruption, pruning)
    for number in TERMINATION_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    return code


def redirect_output(log: Path) -> None:
    """Append what this process prints to a file."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    sys.stdout = sys.__stdout__ = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115


def _call(parent: int, function: Callable[..., int], arguments: Sequence[object]) -> None:
    """Call a function, and end this process without the cleanup of Python, which would be that of the parent."""
    code = 1
    try:
        die_with_parent()
        if os.getppid() == parent:  # it may have ended before
            code = function(*arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block the signals in the `with` block, also in a process that is forked in it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
