"""Start, stop and failure of the server's processes."""

import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
# Serves as `python cli.py serve` does, but each batch of a request takes SECONDS longer, a stop may take LONGEST_STOP,
# and heads of requests arrive at once. Prints which parts of the engine were imported.
SCRIPT = """
import os, runpy, sys, time
import project.deploy.predictor as predictor
run = predictor.Predictor.run
def run_slowly(self, batch):
    time.sleep(float(os.environ["SECONDS"]) if batch["offset"].any() else 0)  # those at the start are zeros
    return run(self, batch)
predictor.Predictor.run = run_slowly
import project.deploy.server.runner as runner
runner._HEAD = 0.5
import project.deploy.server.workers as workers
workers.LONGEST_STOP = int(os.environ["LONGEST_STOP"])
try:
    runpy.run_path("cli.py", run_name="__main__")
finally:
    print({"torch", "pytorch_lightning", "loguru"} & set(sys.modules))
"""


@dataclass
class Running:
    """A server in a session of its own."""

    process: subprocess.Popen[str]
    port: int

    def send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str | None]:
        """Return the status of an answer, and its header Connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status, response.getheader("Connection")

    def predict(self, body: bytes) -> Callable[[], int]:
        """Send a request to /predict in a thread; return a function that waits for its status, 0 without an answer."""
        statuses: list[int] = []

        def send() -> None:
            with suppress(http.client.RemoteDisconnected, ConnectionError):
                statuses.append(self.send("POST", "/predict", body)[0])

        def wait() -> int:
            thread.join()
            return statuses[0] if statuses else 0

        thread = threading.Thread(target=send)
        thread.start()
        return wait

    def processes(self) -> list[int]:
        """Return the processes of the session, zombies left out."""
        listed = subprocess.run(["ps", "-eo", "pid=,sid=,stat="], capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in listed.splitlines()]
        return [int(pid) for pid, session, state in rows if int(session) == self.process.pid and state[0] != "Z"]

    def wait_until(self, is_true: Callable[[], bool], seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.fixture
def run(model: Path) -> Iterator[Callable[..., Running]]:
    """Return a function that starts a server, given options, and the seconds of each batch and a stop."""
    started: list[subprocess.Popen[str]] = []

    def begin(*options: str, seconds: float = 0, longest_stop: int = 40) -> Running:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, "serve", "--model", str(model), "--port", "0", *options],
            cwd=ROOT,
            env=os.environ | {"SECONDS": str(seconds), "LONGEST_STOP": str(longest_stop), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.fullmatch(
            r"[\d:]{8} INFO    serving \S+ at http://127\.0\.0\.1:(\d+), which needs no token;.*\n", line
        )
        assert found, line + process.stderr.read()
        return Running(process, int(found[1]))

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def body() -> bytes:
    """Return the body of a request to /predict."""
    import base64

    from project.deploy.server.answers import to_png

    picture = base64.b64encode(to_png(np.zeros((1, 4, 4), np.float32))).decode()
    return json.dumps({"image": picture, "offset": [1, 2]}).encode()


def ended(running: Running) -> tuple[int, str, str]:
    """Return the exit code of a server, and what it printed; no process of it is left."""
    out, err = running.process.communicate(timeout=20)
    running.wait_until(lambda: not running.processes())
    return running.process.returncode, out, err


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


@pytest.mark.slow
@pytest.mark.parametrize("to_group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "3"])
def test_stop_of_a_queue(
    workers: str, number: signal.Signals, to_group: bool, run: Callable[..., Running], body: bytes
) -> None:
    """Ctrl-C and service managers send the signal to all processes, `kill` to the first."""
    running = run("--workers", workers, seconds=1)
    waiting = [running.predict(body) for _ in range(12)]
    time.sleep(0.4)
    (os.killpg if to_group else os.kill)(running.process.pid, number)
    assert [wait() for wait in waiting] == [200] * 12
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
def test_workers_end_with_a_killed_parent(run: Callable[..., Running], body: bytes) -> None:
    """They answer first."""
    running = run("--workers", "2", seconds=0.5)
    status = running.predict(body)
    time.sleep(0.2)
    assert len(running.processes()) == 3
    running.process.kill()
    assert status() == 200
    running.wait_until(lambda: not running.processes())


@pytest.mark.slow
def test_dead_workers_are_replaced(run: Callable[..., Running], body: bytes) -> None:
    running = run("--workers", "2")
    parent = running.process.pid
    first, second = [pid for pid in running.processes() if pid != parent]
    os.kill(first, signal.SIGKILL)
    running.wait_until(lambda: len(running.processes()) == 3 and first not in running.processes())
    time.sleep(1)  # a worker that is not ready yet may not die
    os.kill(second, signal.SIGTERM)
    running.wait_until(lambda: len(running.processes()) == 3 and second not in running.processes())
    assert [running.send("POST", "/predict", body)[0] for _ in range(8)] == [200] * 8
    running.process.terminate()
    code, _, err = ended(running)
    assert code == 0
    ends = re.findall(r"WARNING worker \d \(process (\d+)\) ended with (.*); starting another\n", err)
    assert ends == [(str(first), "SIGKILL"), (str(second), "exit code 0")]


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
    """A head that does not end, a connection that sends nothing, and a second request that does not end."""
    running = run(seconds=2)
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
    running.process.terminate()
    assert ended(running)[0] == 0


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
def test_workers_that_fail_at_their_start_end_the_server(model: Path) -> None:
    script = """
import os, sys
from project.deploy.server import app
from project.deploy.server.main import main
app.Server.__init__ = lambda *_: os._exit(7)
sys.exit(main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", script, "--model", str(model), "--port", "0", "--workers", "2"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.endswith("ERROR   worker 0 ended with exit code 7 before it was ready; stopping\n")


@pytest.mark.slow
def test_start_is_quick(run: Callable[..., Running]) -> None:
    """Start and stop take little time of a processor; the machine may be busy."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = run()
    running.process.terminate()
    assert ended(running)[0] == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
