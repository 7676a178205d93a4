"""A server in a process of its own, and a client that sends it whatever bytes."""

import asyncio
import base64
import contextlib
import http.client
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from tests.deploy.server.faults import BODY_SECONDS, CLOSED, TOKEN, Exchange, make_exchange, picture

_SERVE = """
import sys
from pathlib import Path
from project.deploy.server.running import serve
from project.deploy.server.settings import Limits, Settings
limits = Limits(body_seconds={seconds})
settings = Settings(Path({model!r}), port={port}, max_pixels={pixels}, token={token!r}, limits=limits)
sys.exit(serve(settings))
"""
_MAX_PIXELS = 100_000  # for larger arrays, malloc keeps some MB more or less, which would hide a leak
_PATIENCE = 20.0  # seconds for an answer
_CLIENTS = 32  # exchanges at the same time


@dataclass
class ServerProcess:
    """A server in a process of its own.

    Args:
        popen: the process.
        port: its port.
    """

    popen: "subprocess.Popen[bytes]"
    port: int

    @property
    def memory(self) -> int:
        """RSS in bytes."""
        return 1024 * int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.popen.pid}/status").read_text())[0])

    @property
    def files(self) -> int:
        """Number of open file descriptors."""
        return len(list(Path(f"/proc/{self.popen.pid}/fd").iterdir()))

    @property
    def threads(self) -> int:
        """Number of threads."""
        return len(list(Path(f"/proc/{self.popen.pid}/task").iterdir()))

    def wait_for_files(self, count: int) -> None:
        """Wait until no more file descriptors are open, or ten seconds."""
        end = time.monotonic() + 10
        while self.files > count and time.monotonic() < end:
            time.sleep(0.05)

    def send_exchanges(self, numbers: range) -> list[str]:
        """Send random exchanges, several at a time, and return what was wrong with the answers."""
        return asyncio.run(_send_exchanges(self.port, numbers))

    def check_answers(self, count: int) -> None:
        """Send pictures, and compare the answers with their inverse."""
        rng = Random(0)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        for _ in range(count):
            file = picture(rng)
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "image/png"}
            connection.request("POST", "/predict", file, headers)
            response = connection.getresponse()
            assert response.status == 200
            url = json.loads(response.read())["predictions"][0]["answers"]["inverse"]
            inverse = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L")
            assert (np.asarray(inverse) == 255 - np.asarray(Image.open(io.BytesIO(file)))).all()
        connection.close()


@contextlib.contextmanager
def running(model: Path, errors: Path) -> Iterator[ServerProcess]:
    """Yield a running server, which must end with exit code 0 after SIGTERM.

    Args:
        model: the file of picture_model.py.
        errors: file for what the server prints.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    code = _SERVE.format(seconds=BODY_SECONDS, model=str(model), port=port, pixels=_MAX_PIXELS, token=TOKEN)
    with errors.open("wb") as file:
        popen = subprocess.Popen([sys.executable, "-c", code], stdout=file, stderr=file)
    try:
        wait_until_ready(popen, port)
        yield ServerProcess(popen, port)
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(_PATIENCE) == 0
    finally:
        popen.kill()
        popen.wait()


def wait_until_ready(popen: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until /readyz answers 200, a minute at most."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert popen.poll() is None, "the server has ended"
        url = f"http://127.0.0.1:{port}/readyz"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=_PATIENCE):
            return  # else nobody listens yet, or it is not ready
        time.sleep(0.02)
    raise AssertionError("the server is not ready after a minute")


async def _send_exchanges(port: int, numbers: range) -> list[str]:
    wrong: list[str] = []
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            name, exchange = make_exchange(number)
            found = await _send(port, exchange)
            if not all(status in expected for status, expected in zip(found, exchange.expected, strict=False)):
                sent = str(exchange.parts)[:300]
                wrong.append(f"{number} {name}: answered {found}, expected {exchange.expected}; {sent}")

    await asyncio.gather(*(work() for _ in range(_CLIENTS)))
    return wrong


async def _send(port: int, exchange: Exchange) -> list[int | str]:
    """Send the parts of an exchange, and return the statuses of the answers; text says what is wrong with one."""
    transport, received = await asyncio.get_running_loop().create_connection(_Received, "127.0.0.1", port)
    try:
        for part in exchange.parts:
            if isinstance(part, float):
                await asyncio.sleep(part)
            else:
                transport.write(part)
        if exchange.then == "reset":
            linger = struct.pack("ii", 1, 0)
            with contextlib.suppress(OSError):  # the server has closed it
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        answers: list[tuple[int | str, bool]] = []
        while len(answers) < len(exchange.expected) and not (answers and answers[-1][1]):
            answers.append(await received.read_answer())
        return [status for status, _ in answers]
    finally:
        transport.close()


class _Received(asyncio.Protocol):
    """Bytes of a connection; asyncio's StreamReader would forget those before a reset."""

    def __init__(self) -> None:
        self._data, self._is_closed, self._has_changed = b"", False, asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._has_changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_closed = True
        self._has_changed.set()

    async def read_answer(self) -> tuple[int | str, bool]:
        """Return the status of the next answer, and whether it is said to be the last one of the connection."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while (answer := self._take_answer()) is None and not self._is_closed:
                    self._has_changed.clear()
                    await self._has_changed.wait()
        except TimeoutError:
            return "nothing", True
        return answer or ("a part" if self._data else CLOSED, True)

    def _take_answer(self) -> tuple[int | str, bool] | None:
        if self._data.startswith(b"HTTP/1.1 100"):
            self._data = self._data.partition(b"\r\n\r\n")[2]
        head, end, rest = self._data.partition(b"\r\n\r\n")
        length = int(found[1]) if (found := re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)) else len(rest)
        if not end or len(rest) < length:
            return None
        body, self._data = rest[:length], rest[length:]
        is_last = bool(re.search(rb"\r\nconnection: *close", head, re.I))
        return "a stack" if b"Traceback" in body else int(head.split()[1]), is_last
