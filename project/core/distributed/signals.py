"""Signals that ask a run to stop. The run stops after everything is saved."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PREEMPTED = 75  # EX_TEMPFAIL of sysexits.h: a temporary failure, to be tried again
TERMINATION_SIGNALS = (signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))
_SIGNALS = (*TERMINATION_SIGNALS, signal.SIGINT)


class Interrupted(Exception):
    """A stop of the run by a signal, with everything saved.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; continue with `--resume auto`")
        self.code = 128 + number if number == signal.SIGINT else PREEMPTED


class Interruption:
    """Receiver of the signals that ask a run to stop: SIGTERM, SIGUSR1 and SIGINT (Ctrl-C).

    `number` is the signal that was received, 0 if there was none. Slurm sends one of the first two before it takes the
    nodes away. A Ctrl-C after another signal stops the process at once.

    Example::

        interruption.install()
        ...
        if interruption.number:
            raise Interrupted(interruption.number)
    """

    def __init__(self) -> None:
        self.number = 0

    def install(self, with_sigint: bool = True) -> None:
        """Install the signal handlers, and unblock signals that were blocked until now.

        Args:
            with_sigint: handle Ctrl-C as well.
        """
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if with_sigint or number != signal.SIGINT:
                    signal.signal(number, self._handle)
            if hasattr(signal, "pthread_sigmask"):  # scripts/slurm.sh starts Python with them blocked
                signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINATION_SIGNALS)

    def uninstall(self) -> None:
        """Restore the default handlers, and raise again a signal that was already received."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) == self._handle:
                    signal.signal(number, signal.SIG_DFL)
        if self.number:
            signal.raise_signal(self.number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.number:
            raise KeyboardInterrupt
        self.number = number
        # Not with the logger: the signal may have interrupted a call of it.
        os.write(2, f"{signal.Signals(number).name}: stopping after the next step, with a checkpoint\n".encode())


@contextmanager
def restoring_signals() -> Iterator[None]:
    """Restore the signal handlers after the `with` block."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def wait_unless_signaled(seconds: float) -> bool:
    """Wait; return False, at once, if a signal is received or the parent process ends, else True."""
    received: list[int] = []
    parent, end = os.getppid(), time.monotonic() + seconds
    with restoring_signals():
        for number in TERMINATION_SIGNALS:
            signal.signal(number, lambda number, _: received.append(number))
        while time.monotonic() < end and not received and os.getppid() == parent:
            time.sleep(0.05)
    return not received and os.getppid() == parent


def ignore_signals(worker_id: int) -> None:
    """Ignore signals in a DataLoader's worker: a run that received one still needs its workers to finish its step."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def kill_workers() -> None:
    """Kill the workers that are left when the main process exits: they ignore SIGTERM."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises when a worker ends
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()
