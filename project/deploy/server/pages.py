"""The demo page and its files."""

import hashlib
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from starlette.responses import Response

from project.deploy import demo

_TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}


def add_pages(app: FastAPI) -> None:
    """Add the demo page as `/`, and its files."""
    for name, content in demo.read_files().items():
        route = _make_route(content, _TYPES[name.rpartition(".")[2]])
        app.add_route("/" if name == "index.html" else f"/{name}", route, methods=["GET"])


def _make_route(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Return a route for a file that browsers ask for again each time, so that an updated server shows its own."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    async def answer(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    return answer
