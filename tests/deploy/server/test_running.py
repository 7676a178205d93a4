"""Start, stop and failure of the server, as `python cli.py serve` runs it."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from project.deploy.server.running import _listen
from tests.deploy.server.command import ROOT, Running, ended


def test_sigterm_answers_what_has_arrived(run: Callable[..., Running], body: bytes) -> None:
    """/readyz fails meanwhile, connections are closed, and torch was never imported."""
    running = run(seconds=0.8)
    assert running.send("GET", "/readyz") == (200, None)
    status = running.predict(body)
    time.sleep(0.2)
    running.process.terminate()
    running.wait_until(lambda: running.send("GET", "/readyz") == (503, "close"))
    assert status() == 200
    assert ended(running) == (0, "set()\n", "")


def test_answers_are_sent_at_once() -> None:
    """Else each answer after the first of a connection would wait 40 ms for the client's acknowledgement."""
    with _listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.slow
@pytest.mark.parametrize("to_group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "3"])
def test_stop_of_a_queue(
    workers: str, number: signal.Signals, to_group: bool, run: Callable[..., Running], body: bytes
) -> None:
    """Ctrl-C and service managers send the signal to all processes, `kill` to the first."""
    running = run("--workers", workers, seconds=0.6)
    waiting = [running.predict(body) for _ in range(6)]
    time.sleep(0.4)
    (os.killpg if to_group else os.kill)(running.process.pid, number)
    assert [wait() for wait in waiting] == [200] * 6
    code, _, err = ended(running)
    assert (code, err) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_second_signal_ends_at_once(workers: str, run: Callable[..., Running], body: bytes) -> None:
    running = run("--workers", workers, seconds=20)
    running.predict(body)
    time.sleep(0.3)
    for _ in range(2):
        running.process.terminate()
        time.sleep(0.3)
    running.process.wait(1)
    assert ended(running)[0] == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_stop_is_bounded(workers: str, run: Callable[..., Running], body: bytes) -> None:
    """The net may take longer than any service manager waits."""
    running = run("--workers", workers, seconds=20, longest_stop=4)
    running.predict(body)
    time.sleep(0.3)
    running.process.terminate()
    start = time.monotonic()
    assert ended(running)[0] in (1, 128 + signal.SIGALRM)
    assert 3 < time.monotonic() - start < 8


@pytest.mark.slow
def test_signals_of_terminals_and_pipes_are_harmless(run: Callable[..., Running], body: bytes) -> None:
    running = run("--workers", "2")
    for number in (signal.SIGHUP, signal.SIGPIPE):
        os.killpg(running.process.pid, number)
    assert running.send("POST", "/predict", body)[0] == 200
    assert len(running.processes()) == 3
    running.process.terminate()
    assert ended(running)[0] == 0


@pytest.mark.slow
def test_connections_that_only_wait_are_closed(run: Callable[..., Running], body: bytes) -> None:
    """A head that does not end, a connection that sends nothing, and a second request that does not end.

    So are those whose client reads no answers, which the next one waits for.
    """
    running = run(seconds=2)
    files = Path(f"/proc/{running.process.pid}/fd")
    before = len([*files.iterdir()])
    silent = socket.create_connection(("127.0.0.1", running.port), 10)
    silent.sendall(b"GET /demo.js HTTP/1.1\r\nHost: a\r\n\r\n" * 2000)
    heads = [b"GET / HTTP/1.1\r\nA: b", b"", b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /"]
    connections = [socket.create_connection(("127.0.0.1", running.port), 10) for _ in heads]
    for connection, head in zip(connections, heads, strict=True):
        connection.sendall(head)
    status = running.predict(body)  # takes longer, and stays
    for connection in connections:
        while connection.recv(1000):
            pass
        connection.close()
    assert status() == 200
    running.wait_until(lambda: len([*files.iterdir()]) == before)
    silent.close()
    running.process.terminate()
    assert ended(running)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", [["cli.py", "serve"], ["-m", "project.deploy.server"]])
def test_signal_during_the_start_ends_without_a_traceback(
    command: list[str], number: signal.Signals, tmp_path: Path
) -> None:
    """By a handler: the first process of a container ignores signals that have none."""
    model = tmp_path / "model.onnx"
    os.mkfifo(model)
    process = subprocess.Popen([sys.executable, *command, "--model", str(model)], cwd=ROOT, stderr=subprocess.PIPE)
    with model.open("wb"):  # waits until it is opened for reading
        process.send_signal(number)
        assert process.communicate(timeout=20)[1] == b""
    assert process.returncode == 128 + number


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&- 2>&-", "<&- >/dev/full 2>/dev/full"])
@pytest.mark.parametrize("workers", [1, 2])
def test_closed_streams_are_harmless(closed: str, workers: int, model: Path, body: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = f"exec {sys.executable} cli.py serve --model {model} --port {port} --workers {workers} {closed}"
    process = subprocess.Popen(command, shell=True, cwd=ROOT, start_new_session=True)
    running = Running(process, port)  # type: ignore[arg-type]

    def is_ready() -> bool:
        try:
            return running.send("GET", "/readyz")[0] == 200
        except OSError:
            return False

    running.wait_until(is_ready)
    assert running.send("POST", "/predict", body)[0] == 200
    process.terminate()
    assert process.wait(10) == 0
    running.wait_until(lambda: not running.processes())


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "3"])
def test_damaged_model_is_reported_once(workers: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("damaged")
    command = [sys.executable, "cli.py", "serve", "--model", str(tmp_path), "--port", "0", "--workers", workers]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert ran.stderr.startswith(f"error: {tmp_path / 'model.onnx'} is damaged, or not an ONNX file: ")


@pytest.mark.slow
def test_start_is_quick(run: Callable[..., Running]) -> None:
    """Start and stop take little time of a processor; the machine may be busy."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = run()
    running.process.terminate()
    assert ended(running)[0] == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "confstr") or "CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="of glibc")
def test_freed_memory_is_returned() -> None:
    """What is kept after large arrays would keep their memory: glibc takes it from one heap after the first."""
    script = """
import re
import numpy as np
from project.deploy.server.running import _bound_freed_memory

def memory():
    return int(re.findall("VmRSS:\\\\s+([0-9]+)", open("/proc/self/status").read())[0])

_bound_freed_memory()
before, kept = memory(), []
for _ in range(5):
    np.ones(2_500_000)
    array = np.ones(2_500_000)
    kept += [np.ones(10_000), array]
del kept[1::2], array
print(memory() - before)
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 10_000  # kB
