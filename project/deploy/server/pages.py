"""The demo page and its files."""

import hashlib
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from starlette.responses import Response

from project.deploy import demo

_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


def add_pages(app: FastAPI) -> None:
    """Add the demo page as `/`, and its files."""
    for name, content in demo.read_files().items():
        add_page(app, "/" if name == "index.html" else f"/{name}", content, _TYPES[name[name.rindex(".") :]])


def add_page(app: FastAPI, path: str, content: bytes, media_type: str) -> None:
    """Add a file that browsers ask for again each time, so that an updated server shows its own."""
    app.add_route(path, _answer(content, media_type), methods=["GET"], include_in_schema=False)


def _answer(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    async def answer(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    return answer
