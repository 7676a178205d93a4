"""Servers, in this process and in others, and clients of them."""

import asyncio
import base64
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from project.deploy.server.app import Server, create_app
from project.deploy.server.settings import Limits, Settings
from tests.deploy.onnx_files import write_model
from tests.deploy.server.command import Running, run_commands
from tests.deploy.server.picture_model import png, write_picture_model


@dataclass
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """Client of a running server."""

    server: Server
    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request on a connection of its own; `Content_Type=` is the header Content-Type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, self.headers | given)
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.getheaders()), response.read())
        connection.close()
        return answer


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of a grey picture and two numbers (see onnx_files.py)."""
    return write_model(tmp_path_factory.mktemp("served") / "model.onnx")


@contextmanager
def run_servers(model: Path) -> Iterator[Callable[..., Client]]:
    """Yield a function that starts a server of a model in a thread; its arguments are those of Settings."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def begin(**settings: Any) -> Client:
        server = Server(Settings(**({"model": model} | settings)))
        listener = socket.create_server(("127.0.0.1", 0))
        runner = uvicorn.Server(uvicorn.Config(create_app(server), http="h11", log_level="critical"))
        thread = threading.Thread(target=lambda: asyncio.run(runner.serve([listener])))
        thread.start()
        running.append((runner, thread))
        return Client(server, listener.getsockname()[1])

    yield begin
    for runner, _ in running:
        runner.should_exit = True
    for _, thread in running:
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def start(model: Path) -> Iterator[Callable[..., Client]]:
    """Return a function that starts a server of a model in a thread; its arguments are those of Settings."""
    with run_servers(model) as begin:
        yield begin


@pytest.fixture(scope="session")
def shared_client(model: Path) -> Iterator[Client]:
    """Return a client of a server with usual settings, which tests do not change."""
    with run_servers(model) as begin:
        yield begin()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Return a client of a server of a picture alone, which answers a class and a picture, and needs a token."""
    with run_servers(write_picture_model(tmp_path_factory.mktemp("pictures") / "model.onnx")) as begin:
        client = begin(token="sécret", limits=Limits(samples=3))
        client.headers["Authorization"] = "Bearer sécret".encode().decode("latin-1")
        yield client


@pytest.fixture
def run(model: Path) -> Iterator[Callable[..., Running]]:
    """Return a function that starts a server in a process, given options, and the seconds of each batch and a stop."""
    with run_commands(model) as begin:
        yield begin


@pytest.fixture(scope="session")
def body() -> bytes:
    """Return the body of a request to /predict."""
    return json.dumps({"image": base64.b64encode(png(np.zeros((4, 4)))).decode(), "offset": [1, 2]}).encode()
