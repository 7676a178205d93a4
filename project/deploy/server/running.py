"""Running the server: its socket, its processes, and the signals that stop it."""

import ctypes
import errno
import logging
import os
import signal
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from project.deploy.inputs import InputError
from project.deploy.server.app import Server
from project.deploy.server.metrics import Metrics
from project.deploy.server.options import OptionError
from project.deploy.server.runner import Runner
from project.deploy.server.settings import Settings
from project.deploy.server.workers import LONGEST_STOP, STOP_SIGNALS, Workers

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)
_BACKLOG = 2048  # connections that wait to be accepted
_MAX_FILES = 65536
# Numbers of glibc's mallopt(3): M_ARENA_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD. Lower thresholds cost time: with
# 128 kB, denoising 512 x 512 pixels takes 15 % longer.
_MALLOC = {-8: 1, -3: 4 * 2**20, -1: 8 * 2**20}


class Stop:
    """Handler of the signals that ask the server to stop, and of the alarm if that takes too long.

    Args:
        exits_at_second: let a second signal end the process at once.

    Attributes:
        time: `time.monotonic()` of the first signal; None before it.
    """

    def __init__(self, exits_at_second: bool) -> None:
        self.time: float | None = None
        self._exits_at_second = exits_at_second

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.time is None:
            self.time = time.monotonic()
            if hasattr(signal, "alarm"):
                signal.alarm(LONGEST_STOP)
        elif self._exits_at_second or number not in STOP_SIGNALS:
            os._exit(128 + number)  # not by the signal, which a first process of a container would ignore


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; answer what has arrived; return the exit code.

    Raises:
        OptionError: the address or port cannot be used, or the file of the model is damaged.
    """
    _prepare_process()
    listener = _listen(settings.host, settings.port)
    metrics = Metrics(settings.workers)
    needs = "needs the token in SERVE_TOKEN" if settings.token else "needs no token"
    text = f"serving {settings.model} at {_url(listener)}, which {needs}; Ctrl-C stops it"

    def announce() -> None:
        logger.info(text)

    if settings.workers == 1:
        with listener, _handling_signals(Stop(exits_at_second=True), *STOP_SIGNALS) as stop:
            return _serve_here(settings, metrics.for_worker(0), listener, stop, announce)

    def work(number: int, on_ready: Callable[[], None]) -> int:
        with _handling_signals(Stop(exits_at_second=False), signal.SIGTERM) as stop:
            return _serve_here(settings, metrics.for_worker(number), listener, stop, on_ready)

    return Workers(settings.workers, work, announce, listener.close).run()


def _serve_here(
    settings: Settings, metrics: Metrics, listener: socket.socket, stop: Stop, on_ready: Callable[[], None]
) -> int:
    """Serve in this process."""
    try:
        server = Server(settings, metrics)
    except InputError as error:
        raise OptionError(str(error)) from error
    Runner(server, lambda: stop.time, on_ready).run([listener])
    return 0


@contextmanager
def _handling_signals(stop: Stop, *numbers: int) -> Iterator[Stop]:
    alarm = [signal.SIGALRM] if hasattr(signal, "SIGALRM") else []
    before = {number: signal.signal(number, stop) for number in (*numbers, *alarm)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _prepare_process() -> None:
    _bound_freed_memory()
    for number in (0, 1, 2):  # else a connection could become the standard error, and a client receive messages
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S", level=logging.INFO)
    warnings.filterwarnings("ignore", module="PIL")  # else clients that send damaged pictures fill the log
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the end of a terminal loses no request
    if resource is not None:  # each connection is a file
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        allowed = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
        if soft != resource.RLIM_INFINITY and soft < allowed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _bound_freed_memory() -> None:
    """Let glibc return the memory of large pictures and bodies; of all that was freed, it would keep 400 MB."""
    with suppress(AttributeError, TypeError):  # another C library; Windows has no CDLL(None)
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in _MALLOC.items():
            mallopt(option, value)


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address."""
    is_ipv6 = ":" in host
    try:
        listener = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if is_ipv6 else socket.AF_INET,
            backlog=_BACKLOG,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
        # Connections inherit it, and asyncio sets it for sockets of its own only. Without it, each answer after the
        # first of a connection would wait 40 ms for the client's acknowledgement of its head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OptionError(f"port {port} of {host} is in use; give another --port, or 0 for a free one") from error
        if error.errno == errno.EACCES:
            raise OptionError(f"port {port} needs more rights; give a --port of 1024 or more") from error
        raise OptionError(f"--host {host} cannot be listened on: {os.strerror(error.errno or 0)}") from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
