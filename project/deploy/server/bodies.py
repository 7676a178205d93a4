"""Bodies of requests, read within the limits of size, time and memory."""

import asyncio
from contextlib import suppress
from types import TracebackType

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from project.deploy.server.problems import Problem
from project.deploy.server.settings import Limits

_DISCARD_SECONDS = 2.0


class Memory:
    """Bytes of bodies and samples that the server holds at the same time.

    Args:
        limit: the most bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0


class HeldMemory:
    """Bytes that one request holds until the end of the `with` block.

    Example::

        with HeldMemory(memory) as held:
            held.add(len(body))
    """

    def __init__(self, memory: Memory) -> None:
        self._memory, self.size = memory, 0

    def add(self, size: int) -> None:
        """Hold more bytes.

        Raises:
            Problem: the request alone needs too many (413), or with the others (503).
        """
        memory = self._memory
        if self.size + size > memory.limit:
            raise Problem(413, f"the request needs more than {memory.limit} bytes of memory: send fewer samples")
        if memory.used + size > memory.limit:
            raise Problem(503, "the server has no memory left for more requests", {"Retry-After": "1"})
        memory.used += size
        self.size += size

    def __enter__(self) -> "HeldMemory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._memory.used -= self.size
        self.size = 0


async def read_body(request: Request, limits: Limits, held: HeldMemory) -> bytes:
    """Return the body of a request.

    Raises:
        Problem: its length is not told (411), it is too large (413), does not arrive in time (408), or there is no
            memory for it (503).
        ClientDisconnect: the client is gone.
    """
    length = request.headers.get("content-length")
    if length is None and "transfer-encoding" not in request.headers:
        raise Problem(411, "send a body, and its length as Content-Length")
    too_large = f"the body is larger than {limits.body_bytes} bytes"
    if int(length or 0) > limits.body_bytes:
        raise Problem(413, too_large)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for part in request.stream():
                size += len(part)
                if size > limits.body_bytes:
                    raise Problem(413, too_large)
                held.add(len(part))
                parts.append(part)
        if not size:
            raise Problem(400, "the body is empty")
        return b"".join(parts)
    except TimeoutError:
        raise Problem(408, f"the body did not arrive within {limits.body_seconds:g} s") from None
    finally:
        parts.clear()  # the traceback of a Problem would keep them in memory while its response is sent


class UnreadBodyMiddleware:
    """Middleware that closes the connection after a response before the end of the body, such as 413.

    Otherwise, the client could send the rest for ever. Before, what arrives within two seconds is discarded: a client
    that sends its whole body first would see no response, but a broken connection. A connection is also closed after a
    request with Content-Length and Transfer-Encoding: a proxy may take its body for the next request (RFC 9112, 6.1).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self.app(scope, receive, send)
            return
        is_unread, is_late = True, False

        async def watch_receive() -> Message:
            nonlocal is_unread
            message = await receive()
            is_unread = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def watch_send(message: Message) -> None:
            nonlocal is_late
            if message["type"] == "http.response.start" and (is_unread or _has_two_lengths(scope)):
                message["headers"] = [*message["headers"], (b"connection", b"close")]
                is_late = message["status"] == 408
            elif is_unread and not message.get("more_body", False) and not is_late:
                await send({**message, "more_body": True})
                await _discard()
                message = {"type": "http.response.body"}
            await send(message)

        async def _discard() -> None:
            with suppress(TimeoutError):  # the client sends on, and its connection is closed all the same
                async with asyncio.timeout(_DISCARD_SECONDS):
                    while is_unread:
                        await watch_receive()

        await self.app(scope, watch_receive, watch_send)


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


def _has_two_lengths(scope: Scope) -> bool:
    return {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}
