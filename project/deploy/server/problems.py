"""Errors of requests, answered as problem details (RFC 9457)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from project.deploy.server import strict_json

_log = logging.getLogger(__name__)


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

    def response(self) -> Response:
        """Return the response of the problem."""
        content = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        return Response(strict_json.dumps(content), self.status, self.headers, "application/problem+json")


class ProblemMiddleware:
    """Middleware that logs an exception and answers 500 without it; clients that are gone are no error."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_started = False

        async def watch(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except ClientDisconnect:
            return  # nobody reads an answer
        except Exception:
            if is_started or scope["type"] != "http":
                raise
            _log.exception("error while answering %s %r", scope["method"], scope["path"])
            problem = Problem(500, "the server has a fault, which its log describes; the request may be right")
            await problem.response()(scope, receive, send)


def add_problems(app: FastAPI) -> None:
    """Let an application answer all errors as problem details."""

    @app.exception_handler(Problem)
    async def answer_problem(request: Request, problem: Problem) -> Response:
        return problem.response()

    @app.exception_handler(HTTPException)
    async def answer_http_error(request: Request, error: HTTPException) -> Response:
        path = request.url.path[:100]
        if error.status_code == 404:
            error.detail = f"there is no {path}; /predict, /model and the page / are here"
        elif error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            error.detail = f"{path} does not take {request.method[:20]}, but {allowed}"
        return Problem(error.status_code, error.detail, error.headers).response()

    app.add_middleware(ProblemMiddleware)
