"""The page of a run or of many, over HTTP to this machine only, updated while runs train."""

import errno
import hashlib
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from project.core.errors import ConfigError, user_message
from project.study.report.html import make_live
from project.study.report.reading import stamp_run
from project.study.runs import find_runs

HOST = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class LivePage:
    """The page of a directory, computed again when files of its runs have changed.

    Args:
        directory: a run, or a directory of runs.
        render: returns the page.
    """

    def __init__(self, directory: Path, render: Callable[[], str]) -> None:
        self.directory, self.render = directory, render
        self._lock = threading.Lock()
        self._stamp, self._text = "", ""

    def stamp(self) -> str:
        """Return a text that changes when the page does; cheap."""
        described = "\0".join(stamp_run(run) for run in find_runs(self.directory))
        return hashlib.sha256(described.encode(errors="surrogateescape")).hexdigest()[:16]

    def text(self) -> str:
        """Return the page."""
        with self._lock:  # several tabs wait for one computation; `stamp` does not wait
            stamp = self.stamp()  # first: what changes while the page is computed changes the next stamp
            if stamp != self._stamp:
                self._text = make_live(self.render(), stamp)
                self._stamp = stamp
            return self._text


class ReportServer(ThreadingHTTPServer):
    """Server of one page and its stamp; it reads no other file.

    Args:
        page: the page.
        port: port on this machine; 0 takes a free one.

    Raises:
        ConfigError: the port is taken or not allowed.
    """

    daemon_threads = True  # a browser that keeps a connection open does not delay the end

    def __init__(self, page: LivePage, port: int = 0) -> None:
        self.page = page
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise ConfigError(
                f"cannot listen on port {port}: {error.strerror}\nleave out --port to take a free one"
            ) from None

    @property
    def address(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what failed, unless the browser is gone."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    timeout = 30  # seconds in which a request must arrive

    def do_GET(self) -> None:
        port = self.server.server_address[1]
        # Only these names are this machine: a page of another site may have a name that leads here.
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self._answer(403, "this host name is not allowed; open the printed address\n")
            return
        answers = {"/": (self.server.page.text, "text/html"), "/stamp": (self.server.page.stamp, "text/plain")}
        answer, kind = answers.get(self.path.partition("?")[0], (None, ""))
        if answer is None:
            self._answer(404, "there is only the page /\n")
            return
        try:
            text = answer()
        except (ConfigError, OSError) as error:  # a directory was deleted or renamed while it was read
            self._answer(503, f"{user_message(error) if isinstance(error, ConfigError) else error}\n")
            return
        self._answer(200, text, kind)

    def _answer(self, status: int, text: str, kind: str = "text/plain") -> None:
        body = text.encode(errors="replace")
        self.send_response(status)
        for name, value in (*_HEADERS.items(), ("Content-Type", f"{kind}; charset=utf-8")):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve(page: LivePage, port: int) -> int:
    """Serve a page until a signal; return the exit code."""
    with ReportServer(page, port) as server:
        print(f"the report is at {server.address} until Ctrl-C", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 130
    return 0
