"""A server that the command line starts, in a session of its own."""

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
# Serves as `python cli.py serve` does, but each batch of a request takes SECONDS longer, a stop may take LONGEST_STOP,
# and clients send heads and read answers at once. Prints which parts of the engine were imported.
SCRIPT = """
import os, runpy, sys, time
import project.deploy.predictor as predictor
run = predictor.Predictor.run
def run_slowly(self, batch):
    time.sleep(float(os.environ["SECONDS"]) if batch["offset"].any() else 0)  # those at the start are zeros
    return run(self, batch)
predictor.Predictor.run = run_slowly
import project.deploy.server.runner as runner
runner._HEAD, runner._READING = 0.5, 2.5
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


@contextmanager
def run_commands(model: Path) -> Iterator[Callable[..., Running]]:
    """Yield a function that starts a server, given options, and the seconds of each batch and a stop."""
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


def ended(running: Running) -> tuple[int, str, str]:
    """Return the exit code of a server, and what it printed; no process of it is left."""
    out, err = running.process.communicate(timeout=20)
    running.wait_until(lambda: not running.processes())
    return running.process.returncode, out, err
