"""Bodies that are slow, large, without a length, or never end, over sockets."""

import asyncio
import base64
import json
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fastapi import Request

from project.deploy.server import bodies
from project.deploy.server.bodies import HeldMemory, Memory, read_body
from project.deploy.server.problems import Problem
from project.deploy.server.settings import Limits
from tests.deploy.server.conftest import Client, run_servers
from tests.deploy.server.picture_model import png

LIMITS = Limits(body_bytes=100_000, body_seconds=0.2)
START = "POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def client(model: Path) -> Iterator[Client]:
    """Return a client of a server with low limits."""
    with run_servers(model) as begin:
        yield begin(limits=LIMITS)


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait at most ten seconds."""
    deadline = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def connect(client: Client, head: str) -> Iterator[socket.socket]:
    """Yield a connection on which the head of a request was sent."""
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"\r\n")
        yield connection


def read_all(connection: socket.socket, last: str | None = None) -> str:
    """Return what is received until a text, or until the server closes the connection."""
    received = ""
    while not (last and last in received) and (part := connection.recv(65536)):
        received += part.decode()
    return received


@pytest.mark.parametrize(
    ("header", "status", "detail"),
    [
        ("", 411, "send a body, and its length as Content-Length"),
        ("Content-Length: 0\r\n", 400, "the body is empty"),
        ("Content-Length: 100001\r\n", 413, "the body is larger than 100000 bytes"),
        ("Content-Length: 99999999999999999\r\n", 413, "the body is larger than 100000 bytes"),
    ],
)
def test_lengths_that_are_refused_before_the_body(client: Client, header: str, status: int, detail: str) -> None:
    """Nothing of the body is sent: with `Expect`, the client waits for the server to ask for it."""
    with connect(client, f"{START}{header}Expect: 100-continue\r\nConnection: close\r\n") as connection:
        answer = read_all(connection, detail)
    assert f"HTTP/1.1 {status} " in answer
    assert detail in answer
    assert "application/problem+json" in answer
    assert "100 Continue" not in answer or status == 400


def test_expected_body_is_asked_for(client: Client) -> None:
    head = f"{START}Content-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n"
    with connect(client, head) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(b"{}")
        assert "is missing" in read_all(connection)


def test_slow_bodies_end_the_connection(client: Client) -> None:
    """Also if something arrives all the time, with a length and in chunks."""
    heads = [f"{START}Content-Length: 50\r\n", f"{START}Transfer-Encoding: chunked\r\n"]
    with (
        connect(client, heads[0]) as silent,
        connect(client, heads[0]) as dripping,
        connect(client, heads[1]) as chunked,
    ):
        begin, open_connections = time.monotonic(), {dripping: b" ", chunked: b"1\r\n \r\n"}
        while open_connections and time.monotonic() - begin < 5:
            for connection, drop in list(open_connections.items()):
                try:
                    connection.sendall(drop)
                except OSError:
                    del open_connections[connection]
            time.sleep(0.02)
        assert not open_connections
        assert time.monotonic() - begin < 2
        answer = read_all(silent)
    assert "HTTP/1.1 408 " in answer
    assert "connection: close" in answer
    assert "the body did not arrive within 0.2 s" in answer
    assert client.server.memory.used == 0


def test_client_that_sends_all_before_it_reads_sees_the_problem(client: Client) -> None:
    """Otherwise its connection would break while it sends."""
    answer = client.request("POST", "/predict", b" " * 20_000_000, Content_Type="application/json")
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    chunks = b"186a0\r\n" + b" " * 100_000 + b"\r\n"
    with connect(client, f"{START}Transfer-Encoding: chunked\r\n") as connection:
        connection.sendall(chunks * 20 + b"0\r\n\r\n")
        assert "HTTP/1.1 413 " in read_all(connection)


def test_rest_of_a_refused_body_does_not_keep_the_connection(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_DISCARD_SECONDS", 0.1)
    with connect(client, "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n") as connection:
        connection.sendall(b" ")
        answer = read_all(connection)
    assert "HTTP/1.1 404 " in answer
    assert "connection: close" in answer


def test_two_lengths_end_the_connection(client: Client) -> None:
    """A proxy that believes the other length would take the rest for the next request, maybe of another client."""
    with connect(client, f"{START}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") as connection:
        connection.sendall(b"2\r\n{}\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = read_all(connection)
    assert answer.startswith("HTTP/1.1 422 ")
    assert "connection: close" in answer
    assert answer.count("HTTP/1.1 ") == 1


def test_client_that_is_gone_while_it_sends_is_no_error(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(client.server.metrics, "count_answer", lambda status, seconds: counted.append(status))
    with connect(client, f"{START}Content-Length: 50\r\n") as connection:
        connection.sendall(b"{")
    wait_until(lambda: counted == [499])
    assert caplog.text == ""
    assert client.server.memory.used == 0


def test_samples_of_a_client_that_is_gone_are_not_computed(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[str] = []

    async def wait(samples: object) -> None:
        ends.append("waits")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    monkeypatch.setattr(client.server.batcher, "predict", wait)
    body = json.dumps({"image": base64.b64encode(png(np.zeros((4, 4)))).decode(), "offset": [1, 2]})
    with connect(client, f"{START}Content-Length: {len(body)}\r\n") as connection:
        connection.sendall(body.encode())
        wait_until(lambda: bool(ends))
    wait_until(lambda: len(ends) == 2)
    assert ends == ["waits", "cancelled"]
    assert caplog.text == ""


def test_memory_of_all_requests_is_bounded() -> None:
    memory = Memory(100)
    with HeldMemory(memory) as first, HeldMemory(memory) as second:
        first.add(60)
        with pytest.raises(Problem, match="no memory left") as caught:
            second.add(50)
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
        second.add(40)
        with pytest.raises(Problem, match="send fewer samples") as caught:
            first.add(41)
        assert caught.value.status == 413
    assert memory.used == 0


def test_body_counts_while_it_arrives() -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"x" * 60, "more_body": True}

    async def read() -> None:
        headers = [(b"transfer-encoding", b"chunked")]
        request = Request({"type": "http", "headers": headers}, receive)
        with HeldMemory(Memory(100)) as held:
            await read_body(request, Limits(), held)

    with pytest.raises(Problem, match="needs more than 100 bytes of memory") as caught:
        asyncio.run(read())
    # The exception exists until the rest of the body is discarded: its traceback must not keep what has arrived.
    assert not any(frame.f_locals.get("parts") for frame, _ in traceback.walk_tb(caught.tb))
