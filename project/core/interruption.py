"""Signals that ask a training to end: it does so when nothing is lost by it."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PREEMPTED = 75  # sysexits.h: a temporary failure, try again
TERMINATIONS = (signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))
_SIGNALS = (*TERMINATIONS, signal.SIGINT)


class Interrupted(Exception):
    """A signal ended the run, and nothing of it is lost.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}; `--resume auto` goes on where it stands")
        self.code = 128 + number if number == signal.SIGINT else PREEMPTED


class Interruption:
    """What SIGTERM, SIGUSR1 or Ctrl-C asked for, 0 until then; a second Ctrl-C ends the process at once.

    Slurm sends one of the first two, as its administrators chose, before it takes the nodes away.
    """

    def __init__(self) -> None:
        self.number = 0

    def listen(self, interactive: bool = True) -> None:
        """Takes the signals, and those that were held back until now.

        Args:
            interactive: Ctrl-C, too.
        """
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if interactive or number != signal.SIGINT:
                    signal.signal(number, self._note)
            if hasattr(signal, "pthread_sigmask"):  # scripts/slurm.sh holds them back until here
                signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINATIONS)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.number:
            raise KeyboardInterrupt
        self.number = number
        # Not by the log, which may be in the middle of a line.
        os.write(2, f"{signal.Signals(number).name}: the run ends when its next step is saved\n".encode())

    def let_go(self) -> None:
        """Leaves SIGTERM and SIGUSR1 to the system again; ends the process if one of them came before."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) == self._note:
                    signal.signal(number, signal.SIG_DFL)
        if self.number:
            signal.raise_signal(self.number)


@contextmanager
def signals_restored() -> Iterator[None]:
    """Puts the handlers of signals back at the end."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def outlives(seconds: float) -> bool:
    """Waits; whether neither a signal nor the end of the process that began this one came in the meantime."""
    came: list[int] = []
    parent, end = os.getppid(), time.monotonic() + seconds
    with signals_restored():
        for number in TERMINATIONS:
            signal.signal(number, lambda number, _: came.append(number))
        while time.monotonic() < end and not came and os.getppid() == parent:
            time.sleep(0.05)
    return not came and os.getppid() == parent


def leave_signals_to_the_main_process(worker: int) -> None:
    """For a loader's workers: what is sent to all processes of a run must not end those that it still needs."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def end_workers() -> None:
    """At the exit of the main process: ends the workers that are left, which ignore Python's own way of doing so."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would raise at the end of a worker
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()
