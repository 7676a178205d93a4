"""Processes that serve from the same socket, and their parent, which replaces those that die."""

import logging
import mmap
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

from project.deploy.server.options import OptionError

logger = logging.getLogger(__name__)
LONGEST_STOP = 40  # seconds, after which a process that does not stop is ended
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# What the parent waits for: a worker is ready, a worker ended, a stop takes too long. Windows has none of them.
_EVENTS = [getattr(signal, name) for name in ("SIGUSR1", "SIGCHLD", "SIGALRM") if hasattr(signal, name)]
_AWAITED = [*STOP_SIGNALS, *_EVENTS]


class Workers:
    """Parent of the processes that answer requests. It must have no threads.

    A worker that dies is replaced, unless it was not ready yet: then all stop. If the parent is killed, the workers
    stop as they do at SIGTERM.

    Args:
        count: number of workers.
        work: serves in a worker until SIGTERM, given its number and a function to call when it is ready; returns the
            exit code.
        on_ready: called when all workers are ready.
        on_stop: called when the workers are asked to stop.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[int, Callable[[], None]], int],
        on_ready: Callable[[], None],
        on_stop: Callable[[], None],
    ) -> None:
        self._count, self._work, self._on_ready, self._on_stop = count, work, on_ready, on_stop
        self._numbers: dict[int, int] = {}  # of the workers, by process id
        self._are_ready = mmap.mmap(-1, count)  # shared with the workers, which set their byte to 1
        self._code, self._is_announced, self._is_stopping = 0, False, False
        self._parent = os.getpid()
        self._reading, self._writing = os.pipe()  # nobody writes: it closes when the parent ends, however that ends

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; return the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # where it has no handler, it may be lost
        self._start(0)  # alone: a mistake is reported once
        while self._numbers:
            number = signal.sigwait(_AWAITED)
            if number == signal.SIGUSR1:
                self._start_others()
            elif number == signal.SIGCHLD:
                self._replace_ended()
            elif number == signal.SIGALRM:
                logger.error(f"killing workers that did not stop within {LONGEST_STOP} s")
                self._code = 1
                self._signal_all(signal.SIGKILL)
            elif self._is_stopping:  # the second signal
                self._signal_all(signal.SIGKILL)
                self._code = 128 + number
            else:
                self._stop()
        signal.alarm(0)
        return self._code

    def _start(self, number: int) -> None:
        self._are_ready[number] = 0
        process = os.fork()
        if process == 0:
            self._become_worker(number)
        self._numbers[process] = number

    def _become_worker(self, number: int) -> NoReturn:
        code = 1
        try:
            os.close(self._writing)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent sends SIGTERM
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
            threading.Thread(target=self._stop_with_parent, daemon=True).start()

            def on_ready() -> None:
                self._are_ready[number] = 1
                if os.getppid() == self._parent:
                    os.kill(self._parent, signal.SIGUSR1)

            code = self._work(number, on_ready)
        except OptionError as error:
            print("error:", error, file=sys.stderr)
            code = 2
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)  # without the parent's cleanup, and without waiting for threads

    def _stop_with_parent(self) -> None:
        os.read(self._reading, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _start_others(self) -> None:
        """Start the other workers when the first is ready, and announce when all are."""
        started = {*self._numbers.values()}
        if self._are_ready[0] and not self._is_stopping and not self._is_announced:
            for number in range(self._count):
                if number not in started:
                    self._start(number)
            if b"\0" not in self._are_ready[:]:
                self._is_announced = True
                self._on_ready()

    def _replace_ended(self) -> None:
        for process, number in [*self._numbers.items()]:
            ended, status = os.waitpid(process, os.WNOHANG)
            if not ended:
                continue
            del self._numbers[process]
            code = os.waitstatus_to_exitcode(status)
            if self._is_stopping:
                if code not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):  # requests may have got no answer
                    self._code = self._code or 1
                continue
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            if self._are_ready[number]:
                logger.warning(f"worker {number} (process {process}) ended with {how}; starting another")
                self._start(number)
                continue
            if code != 2:  # else it has reported a mistake
                logger.error(f"worker {number} ended with {how} before it was ready; stopping")
            self._code = 2 if code == 2 else 1
            self._stop()

    def _stop(self) -> None:
        self._is_stopping = True
        self._on_stop()
        self._signal_all(signal.SIGTERM)
        signal.alarm(LONGEST_STOP)

    def _signal_all(self, number: int) -> None:
        for process in self._numbers:
            os.kill(process, number)
