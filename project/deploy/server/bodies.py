"""Bodies of requests, read within the limits of size and time."""

import asyncio

from fastapi import Request

from project.deploy.server.problems import Problem
from project.deploy.server.settings import Limits


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body of a request.

    Raises:
        Problem: it is too large (413), or does not arrive in time (408).
    """
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for part in request.stream():
                size += len(part)
                if size > limits.body_bytes:
                    raise Problem(413, f"the body is larger than {limits.body_bytes} bytes")
                parts.append(part)
    except TimeoutError:
        raise Problem(408, f"the body did not arrive within {limits.body_seconds:g} s") from None
    return b"".join(parts)
