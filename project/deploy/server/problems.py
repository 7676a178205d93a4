"""Errors of requests, answered as problem details (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse


class Problem(Exception):
    """A request that cannot be answered; the message is for whoever sent it.

    Args:
        status: status of HTTP.
        detail: what is wrong, and what to send in its place.
        headers: headers of the response.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    def response(self) -> JSONResponse:
        """Return the response of the problem."""
        content = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        return JSONResponse(content, self.status, self.headers, "application/problem+json")
