"""Headers of all responses, and the header Host of requests."""

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from project.deploy.server.problems import Problem

# Localhost, other names that nobody can register, since they have no dot, and addresses.
_OWN_HOST = r"([\w-]*|[\w.-]+\.localhost|[\d.]+|\[[\da-f:.]+\])(:\d*)?"
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob: data:",
    "media-src": "'self' blob:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_HEADERS = {
    b"content-security-policy": "; ".join(f"{name} {sources}" for name, sources in _POLICY.items()).encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class HeaderMiddleware:
    """Middleware that adds headers: a page loads nothing from elsewhere, nobody stores or guesses contents.

    A response that has one of them already keeps its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def add_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = dict(message["headers"])
                message["headers"] = [*message["headers"], *(pair for pair in _HEADERS.items() if pair[0] not in own)]
            await send(message)

        await self.app(scope, receive, add_headers)


class HostMiddleware:
    """Middleware that refuses requests to a name of the Internet; for servers without a token.

    Whoever owns evil.example may let it mean 127.0.0.1 when its page is loaded (DNS rebinding): to a browser, the page
    and this server have the same origin then, and the page could read all answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1")
        if re.fullmatch(_OWN_HOST, host, re.ASCII | re.IGNORECASE):
            await self.app(scope, receive, send)
            return
        detail = f"without SERVE_TOKEN, requests to localhost and addresses are answered, not to '{host[:100]}'"
        await Problem(403, detail).response()(scope, receive, send)
