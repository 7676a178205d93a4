"""Processes of a server on Linux: their start and end, CPU time and memory."""

import http.client
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")
_PATIENCE = 60.0  # seconds for a start or an end


class Memory(NamedTuple):
    """Memory of all processes in bytes: of RSS, each counts what they share; of PSS, its part of it."""

    rss: int
    pss: int


class ServerProcess:
    """A server that has started, and the processes that it starts in turn.

    Args:
        command: its command.
        port: its port.
        environment: its environment.

    Attributes:
        seconds: time from the start until `/readyz` answered 200.
    """

    def __init__(self, command: Sequence[str], port: int, environment: Mapping[str, str]) -> None:
        self.port = port
        start = time.perf_counter()
        # A session of its own: its processes are found even when those that started them have ended.
        self._process = subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not self._is_ready():
            if self._process.poll() is not None or time.perf_counter() - start > _PATIENCE:
                self.end()
                raise RuntimeError(f"{' '.join(command)} did not start")
            time.sleep(0.01)
        self.seconds = time.perf_counter() - start

    def find_processes(self) -> list[int]:
        """Return the processes that run."""
        return [number for number, (session, _) in _read_processes().items() if session == self._process.pid]

    def read_cpu(self) -> float:
        """Return the seconds of CPU time of all processes, and of those that have ended and were waited for."""
        return sum(seconds for session, seconds in _read_processes().values() if session == self._process.pid)

    def read_memory(self) -> Memory:
        """Return the memory of all processes."""
        texts = [Path(f"/proc/{number}/smaps_rollup").read_text() for number in self.find_processes()]
        return Memory(
            *(
                sum(1024 * int(re.findall(rf"^{key}:\s+(\d+)", text, re.M)[0]) for text in texts)
                for key in ("Rss", "Pss")
            )
        )

    def end(self) -> int:
        """Send SIGTERM to the server, kill what remains a second after its end, and return how many that were."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):  # one that does not end is killed, and counted
            self._process.wait(_PATIENCE)
            time.sleep(1)
        left = self.find_processes()
        for number in left:
            os.kill(number, signal.SIGKILL)
        self._process.wait()
        return len(left)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def find_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _read_processes() -> dict[int, tuple[int, float]]:
    """Return the session and the seconds of CPU time of each process that runs."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        if fields[0] != "Z":
            found[int(file.parent.name)] = (int(fields[3]), sum(map(int, fields[11:15])) / _TICK)
    return found
