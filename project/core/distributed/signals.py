"""Signals that ask a run to stop. The run stops after everything is saved."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PREEMPTED = 75  # EX_TEMPFAIL of sysexits.h: a temporary failure, to be tried again
# Slurm's scripts use SIGUSR1, submitit SIGUSR2. Windows has neither.
TERMINATION_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)
AFTER_STEP = "stopping after the next step, with a checkpoint"
_SIGNALS = (*TERMINATION_SIGNALS, signal.SIGINT)
_HAS_ALARM = hasattr(signal, "setitimer")
_RESTORED = (*_SIGNALS, signal.SIGALRM) if _HAS_ALARM else _SIGNALS
_LONGEST_WAIT, _CHECK_INTERVAL = 3.0, 1.0  # seconds that an interrupted run waits for a batch
# Whose calls wait for a batch. They are looked for on the stack, since a wait for a batch must cost nothing.
_TORCH_LOADER, _LOADING = "torch.utils.data.dataloader", ("project.core.data.loading", "__getitem__")
_PR_SET_PDEATHSIG = 1  # of Linux' prctl


class Interrupted(Exception):
    """A stop of the run by a signal, with everything saved.

    Args:
        number: the signal.
    """

    reason = ""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}{self.reason}")
        self.code = 128 + number if number == signal.SIGINT else PREEMPTED


class InterruptedWait(Interrupted):
    """A stop by a signal while this process waits for a batch that does not come, without asking other processes."""

    reason = " while it waited for a batch, which did not come"


class InterruptedStart(Interrupted):
    """A stop by a signal before the first step, with nothing to save.

    Args:
        number: the signal.
    """

    reason = " before the first step; nothing was saved"

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interruption:
    """Receiver of the signals that ask a run to stop: SIGTERM, SIGUSR1, SIGUSR2 and SIGINT (Ctrl-C).

    `number` is the signal that was received, 0 if there was none. Slurm sends one of the others before it takes the
    nodes away. A Ctrl-C after another signal stops the process at once. If a dataset hangs, `InterruptedWait` is raised
    where the main process waits for the batch.

    Args:
        effect: what is said of a signal when it comes.

    Example::

        interruption.install()
        ...
        if interruption.number:
            raise Interrupted(interruption.number)
    """

    def __init__(self, effect: str = AFTER_STEP) -> None:
        self.number = 0
        self._effect = effect
        self._raises = False
        self._wait: FrameType | None = None  # of the batch that the main process waits for
        self._wait_start = 0.0

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

    @contextmanager
    def raising(self) -> Iterator[None]:
        """In the `with` block, raise InterruptedStart at a signal, also one that was received before."""
        self._raises = True
        try:
            if self.number:
                raise InterruptedStart(self.number)
            yield
        finally:
            self._raises = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.number:
            raise KeyboardInterrupt
        self.number = number
        if self._raises:
            self._raises = False
            raise InterruptedStart(number)
        if _HAS_ALARM:
            signal.signal(signal.SIGALRM, self.check_wait)
            signal.setitimer(signal.ITIMER_REAL, _CHECK_INTERVAL, _CHECK_INTERVAL)
        # Not with the logger: the signal may have interrupted a call of it.
        os.write(2, f"{signal.Signals(number).name}: {self._effect}\n".encode())

    def check_wait(self, number: int, frame: FrameType | None) -> None:
        """Raise InterruptedWait if the main process has waited for the same batch for too long."""
        wait = _find_wait(frame)
        if wait is not self._wait:
            self._wait, self._wait_start = wait, time.monotonic()
        elif wait is not None and time.monotonic() - self._wait_start >= _LONGEST_WAIT:
            raise InterruptedWait(self.number)


def _find_wait(frame: FrameType | None) -> FrameType | None:
    """Return the outermost call that loads a batch, or waits for one; None if there is none."""
    found = None
    while frame is not None:
        module, function = frame.f_globals.get("__name__"), frame.f_code.co_name
        if module == _TORCH_LOADER or (module, function) == _LOADING:
            found = frame
        frame = frame.f_back
    return found


@contextmanager
def restoring_signals() -> Iterator[None]:
    """Restore the signal handlers after the `with` block."""
    before = {number: signal.getsignal(number) for number in _RESTORED}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            _disarm()
            has_alarm = _HAS_ALARM and signal.getsignal(signal.SIGALRM) != before[signal.SIGALRM]
            for number, handler in before.items():
                signal.signal(number, handler)
            if has_alarm:  # a signal may have come in between, with the handler of `cli.py`
                signal.setitimer(signal.ITIMER_REAL, 0)


def _disarm() -> None:
    """Stop the alarm of an Interruption: at Python's exit, it would kill the process."""
    if _HAS_ALARM and getattr(signal.getsignal(signal.SIGALRM), "__func__", None) is Interruption.check_wait:
        signal.setitimer(signal.ITIMER_REAL, 0)


def ignore_termination() -> None:
    """Ignore the signals that ask to stop, at the end of a process: srun signals all tasks when the first one ends."""
    for number in TERMINATION_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    _disarm()  # the last signal may have come after `restoring_signals`


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


def ignore_signals() -> None:
    """Ignore signals in a DataLoader's worker: a run that received one still needs its workers to finish its step."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def die_with_parent() -> None:
    """Have Linux kill this process when the thread that started it ends, however that ends and whatever this does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_workers() -> None:
    """Kill the workers of all DataLoaders: they ignore SIGTERM, and torch would wait for each that hangs."""
    has_handler = hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread()
    if has_handler:
        handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises when a worker ends
    workers = [process for process in multiprocessing.active_children() if process.daemon]
    for process in workers:
        process.kill()
    for process in workers:
        process.join(1)  # a process in an uninterruptible call ends later
    if has_handler:
        signal.signal(signal.SIGCHLD, handler)
