"""A client that keeps connections busy, with little CPU time of its own: plain sockets in one thread."""

import re
import selectors
import socket
import time
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.I)
_PATIENCE = 30.0  # seconds without any answer


@dataclass
class Load:
    """What a client saw.

    Args:
        latencies: seconds of each request.
        seconds: from the first request to the last answer.
        cpu: seconds of CPU time of the client.
    """

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu: float = 0.0


class _Connection:
    """A connection that sends one request after the other."""

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request, self._received, self._whole = request, b"", 0

    def send(self) -> None:
        self._received, self._whole, self._start = b"", 0, time.perf_counter()
        self.socket.sendall(self._request)

    def receive(self) -> float | None:
        """Read what has arrived; return the seconds since `send` if the answer is whole.

        Raises:
            RuntimeError: the answer has another status than 200, or the connection was closed.
        """
        part = self.socket.recv(1 << 20)
        self._received += part
        if not part or (len(self._received) >= 12 and self._received[9:12] != b"200"):
            raise RuntimeError(f"the server answered {self._received[:500]!r}")
        if not self._whole and (end := self._received.find(b"\r\n\r\n")) > 0:
            length = _LENGTH.search(self._received[: end + 2])
            assert length, "the answer has no length"
            self._whole = end + 4 + int(length[1])
        return time.perf_counter() - self._start if self._whole and len(self._received) >= self._whole else None


def send_load(port: int, request: bytes, clients: int, seconds: float) -> Load:
    """Send a request over and over on some connections for some seconds; all answers are waited for.

    Args:
        port: port of the server.
        request: the whole request.
        clients: number of connections, each with one request at a time.
        seconds: time after which no more are sent.

    Raises:
        RuntimeError: an answer was another than 200, or none arrived.
    """
    load, selector = Load(), selectors.DefaultSelector()
    connections = [_Connection(port, request) for _ in range(clients)]
    start, cpu = time.perf_counter(), time.thread_time()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send()
    waiting = clients
    while waiting:
        events = selector.select(_PATIENCE)
        if not events:
            raise RuntimeError(f"{waiting} requests were not answered")
        for key, _ in events:
            latency = key.data.receive()
            if latency is None:
                continue
            load.latencies.append(latency)
            if time.perf_counter() - start < seconds:
                key.data.send()
            else:
                waiting -= 1
    load.seconds, load.cpu = time.perf_counter() - start, time.thread_time() - cpu
    selector.close()
    for connection in connections:
        connection.socket.close()
    return load


def write_request(body: bytes, content_type: str) -> bytes:
    """Return a whole request to `/predict`."""
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body
