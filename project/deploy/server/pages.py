"""The demo page and its files, with headers that let it load nothing else."""

from fastapi import FastAPI
from starlette.responses import Response

from project.deploy import demo

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def add_pages(app: FastAPI) -> None:
    """Add the demo page as `/`, and its files."""
    for name, content in demo.read_files().items():
        kind = _TYPES[name[name.rindex(".") :]]
        path = "/" if name == "index.html" else f"/{name}"
        app.add_api_route(path, _answer(content, kind), include_in_schema=False)


def _answer(content: bytes, kind: str):  # type: ignore[no-untyped-def]
    async def answer() -> Response:
        return Response(content, media_type=kind)

    return answer
