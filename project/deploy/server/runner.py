"""uvicorn's server, which ends when all that has arrived is answered."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import uvicorn

from project.deploy.server.app import Server, create_app

# Seconds after the signal to stop. While requests are being answered, others are accepted, so that a load balancer
# sees that /readyz fails, and sends no more. Then what was accepted is answered.
_ACCEPTING, _ANSWERING = 3.0, 27
_ARRIVING = 0.2  # seconds for the request of the connection that was accepted last
# Seconds that a connection may take to send the head of a request, and to read its answer.
_HEAD, _READING = 10.0, 60.0


class Runner(uvicorn.Server):
    """uvicorn's server that stops without raising the signal again, and closes connections that only wait.

    Args:
        server: answers the requests.
        stop_time: returns `time.monotonic()` of the signal to stop; None before it.
        on_ready: called when requests are accepted.
    """

    def __init__(self, server: Server, stop_time: Callable[[], float | None], on_ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            _Closing(server),
            interface="asgi3",
            loop="asyncio",  # uvloop is hardly faster, and raises exceptions where a client has left
            lifespan="on",
            http="h11",  # limits the size of heads, which httptools does not
            ws="none",
            workers=1,  # else the variable WEB_CONCURRENCY is read
            log_config=None,
            log_level="error",  # a line for each request that is no HTTP would fill the disk
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_ANSWERING,
        )
        super().__init__(config)
        self._server, self._stop_time, self._on_ready = server, stop_time, on_ready
        # By connection: its last request, and when it was first seen that only its client can go on.
        self._waiting: WeakKeyDictionary[Any, tuple[Any, float]] = WeakKeyDictionary()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Leave the signals to `stop_time`; uvicorn's handlers would raise them again at the end."""
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections."""
        await super().startup(sockets)
        self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop accepting connections; called ten times a second."""
        await super().on_tick(counter)
        if counter % 10 == 0:
            self._close_waiting_connections()
        stop_time = self._stop_time()
        if stop_time is None:
            return False
        self._server.is_ready = False
        return not self.server_state.tasks or time.monotonic() - stop_time > _ACCEPTING

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse connections, and wait until those that were accepted are answered."""
        for each in self.servers:
            each.close()
        await asyncio.sleep(_ARRIVING)
        await super().shutdown(sockets)

    def _close_waiting_connections(self) -> None:
        """Close connections whose client sends no whole head of a request, or reads no answer.

        uvicorn would wait for ever.
        """
        now = time.monotonic()
        connections: list[Any] = [*self.server_state.connections]
        for connection in connections:
            request = connection.cycle
            is_answered = request is None or request.response_complete
            if not is_answered and not connection.transport.get_write_buffer_size():
                self._waiting.pop(connection, None)
                continue  # else its client does not read what it was sent
            last, start = self._waiting.get(connection, (None, now))
            if last is not request or connection not in self._waiting:
                self._waiting[connection] = request, now
            elif now - start > _READING:
                connection.transport.abort()  # its client does not read the answer
            elif now - start > _HEAD and is_answered:
                connection.transport.close()


class _Closing:
    """Application that asks clients to close their connections while the server stops."""

    def __init__(self, server: Server) -> None:
        self._server, self._app = server, create_app(server)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_closing(message: Any) -> None:
            if message["type"] == "http.response.start" and not self._server.is_ready:
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, send_closing)
