"""The server of a page: what it answers to whom, and that it survives whatever happens to the runs."""

import http.client
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from project.core.errors import ConfigError
from project.study.report.reading import RunReader
from project.study.report.root_page import root_page
from project.study.report.serving import LivePage, ReportServer
from tests.study.made_runs import add_points, make_run

REPOSITORY = Path(__file__).parents[3]
Answer = tuple[int, str, dict[str, str]]
Ask = Callable[..., Answer]


@contextmanager
def serving(root: Path, render: Callable[[], str] | None = None) -> Iterator[tuple[ReportServer, Ask]]:
    """Serve a directory; yield the server, and a function that sends a request."""
    page = LivePage(root, render or partial(root_page, root, RunReader()))
    with ReportServer(page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server, partial(ask, server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def ask(port: int, path: str, host: str | None = None, method: str = "GET") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, {name.lower(): value for name, value in answer.getheaders()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed in range(2):
        make_run(tmp_path / f"root/run{seed}", {"seed": seed}, {"val/accuracy": [0.1, 0.2]})
    return tmp_path / "root"


def test_page_may_ask_its_own_server_only_when_it_is_served(root: Path) -> None:
    with serving(root) as (_, get):
        status, text, headers = get("/")
        stamp = get("/stamp")[1]
    assert status == 200
    assert (headers["content-type"], headers["cache-control"]) == ("text/html; charset=utf-8", "no-store")
    assert headers["x-frame-options"] == "DENY"
    assert text.count("connect-src 'self'") == 1
    assert f'id="data" data-stamp="{stamp}"' in text
    assert "connect-src" not in root_page(root).partition("<style>")[0]


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:PORT", True),
        ("localhost:PORT", True),
        ("localhost", False),
        ("127.0.0.1:1", False),
        ("evil.example:PORT", False),
        ("127.0.0.1.evil.example:PORT", False),
        ("", False),
    ],
)
def test_only_names_of_this_machine_are_answered(root: Path, host: str, allowed: bool) -> None:
    """Another name that leads to 127.0.0.1 would let a page of that name read the runs."""
    with serving(root) as (server, get):
        port = str(server.server_address[1])
        for path in ("/", "/stamp"):
            status, text, _ = get(path, host=host.replace("PORT", port))
            assert status == (200 if allowed else 403)
            assert allowed or "run0" not in text


@pytest.mark.parametrize(
    "path", ["/run0/config.yaml", "/../root/run0/summary.json", "/%2e%2e/", "/report.html", "/index.html"]
)
def test_no_file_is_served(root: Path, path: str) -> None:
    (root / "report.html").write_text("a file")
    with serving(root) as (_, get):
        assert get(path)[0] == 404
        assert get("/", method="POST")[0] == 501


def test_it_listens_on_this_machine_only(root: Path) -> None:
    with serving(root) as (server, _):
        assert server.socket.getsockname()[0] == "127.0.0.1"
        assert server.address == f"http://127.0.0.1:{server.server_address[1]}/"


def test_page_is_computed_once_per_change(root: Path) -> None:
    """Requests of several tabs at once wait for one computation."""
    count, lock = 0, threading.Lock()

    def render() -> str:
        nonlocal count
        with lock:
            count += 1
        return root_page(root)

    with serving(root, render) as (_, get):
        threads = [threading.Thread(target=get, args=["/"]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        first = get("/stamp")[1]
        assert (count, get("/stamp")[1]) == (1, first)
        add_points(root / "run0", {"val/accuracy": [0.3]}, first=2)
        assert get("/stamp")[1] != first
        get("/")
        assert count == 2


def test_stamp_does_not_wait_for_the_page(root: Path) -> None:
    started, go_on = threading.Event(), threading.Event()

    def render() -> str:
        started.set()
        assert go_on.wait(10)
        return "page"

    with serving(root, render) as (_, get):
        thread = threading.Thread(target=get, args=["/"])
        thread.start()
        assert started.wait(10)
        assert get("/stamp")[0] == 200
        go_on.set()
        thread.join()


def test_runs_that_appear_break_or_vanish_do_not_end_it(root: Path) -> None:
    with serving(root) as (_, get):
        make_run(root / "run2", {"seed": 2}, {"val/accuracy": [0.5]})
        assert "run2" in get("/")[1]
        (root / "run0/summary.json").write_text('{"state": "finis')
        (root / "run0/event").joinpath("events.out.tfevents.9").write_bytes(b"\x18\0\0")
        (root / "run1/config.yaml").write_text("model: [")
        status, text, _ = get("/")
        assert (status, "run0: summary.json" in text, "run1: config.yaml" in text) == (200, True, True)
        shutil.rmtree(root / "run1")
        status, text, _ = get("/")
        assert (status, "run1" in text) == (200, False)
        shutil.rmtree(root)
        assert get("/")[:2] == (503, f"{root} does not exist\n")
        assert get("/stamp")[0] == 503
        make_run(root / "run5", {"seed": 5})
        assert "run5" in get("/")[1]


def test_a_bug_is_shown_and_does_not_end_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(root, lambda: str(1 / 0)) as (_, get):
        with pytest.raises(http.client.RemoteDisconnected):
            get("/")
        assert get("/stamp")[0] == 200
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_browser_that_goes_away_is_not_reported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(root) as (server, get):
        with socket.create_connection(("127.0.0.1", server.server_address[1])) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with a reset
            connection.sendall(b"GET / HTTP/1.0\r\nHost: x")
        assert get("/stamp")[0] == 200
    assert capsys.readouterr().err == ""


def test_a_port_in_use_is_said(root: Path) -> None:
    with (
        serving(root) as (server, _),
        pytest.raises(ConfigError, match=r"cannot listen on port \d+: Address already in use"),
    ):
        ReportServer(LivePage(root, str), server.server_address[1])


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_once(root: Path, number: int, code: int) -> None:
    command = [sys.executable, "cli.py", "report", str(root), "--serve"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY
    ) as process:
        assert process.stdout is not None
        address = re.search(r"http://127.0.0.1:(\d+)/", process.stdout.readline())
        assert address is not None
        assert ask(int(address[1]), "/")[0] == 200
        # A browser that keeps a connection open delays nothing.
        with socket.create_connection(("127.0.0.1", int(address[1]))):
            process.send_signal(number)
            assert process.wait(timeout=5) == code
        assert process.stdout.read() == ""
