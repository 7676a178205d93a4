"""Exported nets over HTTP: `cli.py serve` compared with plain servers of Flask and LitServe, which run torch.

The servers of a net run at the same time, and get requests by turns; the nets were trained for one step. Needs Linux.

    pip install -c constraints.txt flask waitress litserve  # servers to compare with; those missing are left out
    python -m benchmarks.serving --rounds 5
"""

import base64
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import arguments, report
from benchmarks.servers.client import Load, send_load, write_request
from benchmarks.servers.net import MODES
from benchmarks.servers.processes import ServerProcess, find_port

ROOT = Path(__file__).parent.parent
CLIENTS = (1, 8, 32)
BLOCK = 0.4  # seconds in which one server gets requests, before the next one's turn


@dataclass(frozen=True)
class Case:
    """A net that takes one picture.

    Args:
        config: its configuration.
        size: height and width of the picture.
        channels: its channels.
        options: further options of the training.
    """

    config: str
    size: int
    channels: int
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of server.

    Args:
        modules: what it needs.
        command: returns the arguments of Python for a run, the channels of its picture, and a port.
        in_json: whether it takes the picture in JSON, not as it is.
    """

    modules: tuple[str, ...]
    command: Callable[[Path, int, int], list[str]]
    in_json: bool = False


@dataclass
class Times:
    """What the blocks of a server measured, of which the first is a warm-up.

    Args:
        loads: what the client saw.
        cpu: seconds of CPU time of the server.
    """

    loads: list[Load] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """Requests a second of each block."""
        return [len(load.latencies) / load.seconds for load in self.loads[1:]]

    @property
    def cpu_per_request(self) -> float:
        """Seconds of CPU time of the server for a request."""
        return sum(self.cpu[1:]) / sum(len(load.latencies) for load in self.loads[1:])

    @property
    def client_cpu(self) -> float:
        """Seconds of CPU time of the client for a request."""
        return sum(load.cpu for load in self.loads[1:]) / sum(len(load.latencies) for load in self.loads[1:])

    def latency(self, percent: int) -> float:
        """Return a percentile of all latencies, in seconds."""
        return float(np.percentile([each for load in self.loads[1:] for each in load.latencies], percent))


CASES = {
    "digits, 8 x 8": Case("digits", 8, 1),
    "denoise, 64 x 64": Case("denoise", 64, 3, ("--data.train.samples", "16")),
}


def _serve(run: Path, channels: int, port: int) -> list[str]:
    return ["cli.py", "serve", "--model", str(run), "--port", str(port)]


def _serve_plain(module: str) -> Callable[[Path, int, int], list[str]]:
    return lambda run, channels, port: ["-m", f"benchmarks.servers.{module}", str(run), str(channels), str(port)]


KINDS = {
    "cli.py serve": Kind(("fastapi", "uvicorn", "onnxruntime"), _serve),
    "Flask": Kind(("flask", "waitress"), _serve_plain("flask_server")),
    "LitServe": Kind(("litserve",), _serve_plain("litserve_server"), in_json=True),
}


def export(case: Case, folder: Path) -> Path:
    """Train a net for a step, export it, and return the directory of the run."""
    fit = ["fit", "--config", f"configs/{case.config}.yaml", "--root", str(folder), "--trainer.max_steps", "1"]
    for arguments_ in ([*fit, *case.options], ["export", "--ckpt_path", str(folder / case.config)]):
        subprocess.run([sys.executable, "cli.py", *arguments_], cwd=ROOT, check=True, capture_output=True)
    return folder / case.config


@contextlib.contextmanager
def running(run: Path, channels: int, threads: int) -> Iterator[dict[str, ServerProcess]]:
    """Yield the servers that are installed, which run at the same time."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    servers: dict[str, ServerProcess] = {}
    try:
        for name, kind in KINDS.items():
            if all(find_spec(module) for module in kind.modules):
                command = [sys.executable, *kind.command(run, channels, port := find_port())]
                servers[name] = ServerProcess(command, port, environment)
            else:
                report(f"{name} is left out: {', '.join(kind.modules)} are not installed")
        yield servers
    finally:
        left = {name: server.end() for name, server in servers.items()}
    report("processes left over after SIGTERM: " + ", ".join(f"{name} {count}" for name, count in left.items()))


def measure(title: str, case: Case, folder: Path, rounds: int, threads: int) -> None:
    """Send requests to all servers of a net, and report what they took."""
    requests = write_requests(case)
    with running(export(case, folder), case.channels, threads) as servers:
        for clients in CLIENTS:
            times = {name: Times() for name in servers}
            for _ in range(rounds + 1):
                for name, server in servers.items():
                    before = server.read_cpu()
                    times[name].loads.append(send_load(server.port, requests[name], clients, BLOCK))
                    times[name].cpu.append(server.read_cpu() - before)
            report_times(f"{title}, {clients:2} clients", times)
        for name, server in servers.items():
            rss, pss = server.read_memory()
            report(
                f"{title:<29}  {name:<12}  {server.seconds:5.2f} s to /readyz   "
                f"processes: {len(server.find_processes())}   RSS {rss / 1e6:5.0f} MB   PSS {pss / 1e6:5.0f} MB"
            )


def write_requests(case: Case) -> dict[str, bytes]:
    """Return the request with a random picture for each kind of server."""
    pixels = np.random.default_rng(0).integers(0, 256, (case.size, case.size, case.channels), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).convert(MODES[case.channels]).save(file, "png")
    text = json.dumps({"image": base64.b64encode(file.getvalue()).decode()})
    raw, in_json = write_request(file.getvalue(), "image/png"), write_request(text.encode(), "application/json")
    return {name: in_json if kind.in_json else raw for name, kind in KINDS.items()}


def report_times(title: str, times: Mapping[str, Times]) -> None:
    """Report medians, and the least and the greatest of the rounds."""
    first = next(iter(times.values()))
    for name, each in times.items():
        rate, ratio = statistics.median(each.rates), statistics.median(each.rates) / statistics.median(first.rates)
        report(
            f"{title:<29}  {name:<12}  {rate:6.0f} requests a second ({min(each.rates):.0f} to {max(each.rates):.0f}), "
            f"{ratio:4.2f} of the first   CPU {1000 * each.cpu_per_request:5.2f} ms   "
            f"p50 {1000 * each.latency(50):6.2f} ms   p99 {1000 * each.latency(99):6.2f} ms   "
            f"client's CPU {1000 * each.client_cpu:.2f} ms"
        )


if __name__ == "__main__":
    given = arguments(__doc__)
    for each_title, each_case in CASES.items():
        with tempfile.TemporaryDirectory() as directory:
            measure(each_title, each_case, Path(directory), given.rounds, given.threads)
