"""Counters of the server, as Prometheus reads them, summed over its processes."""

import mmap
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path

import numpy as np

# Statuses of /predict, of which 499 is that of a client that left. Others are counted together.
_STATUSES = (200, 400, 401, 408, 411, 413, 415, 422, 499, 500, 503, 504)
_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)  # bounds of the histogram's buckets
_SAMPLES = (1, 2, 4, 8, 16, 32, 64)
# Fields of a worker, by name and number of values. The last bucket is that of larger values.
_FIELDS = {
    "statuses": len(_STATUSES) + 1,
    "seconds": len(_SECONDS) + 1,
    "seconds_sum": 1,
    "samples": len(_SAMPLES) + 1,
    "samples_sum": 1,
    "waiting": 1,
    "pid": 1,
}


class Metrics:
    """Counters of all workers, in memory that is shared with processes forked later.

    Each worker has values of its own, which only it changes: no lock is needed. (prometheus_client would need a
    directory of files for several processes.)

    Args:
        workers: number of processes.

    Example::

        metrics = Metrics(workers=2)  # before os.fork
        own = metrics.for_worker(0)  # in the child
        own.count_answer(200, seconds=0.004)
        own.to_text("digits", sha256)  # sums over all workers
    """

    def __init__(self, workers: int) -> None:
        memory = mmap.mmap(-1, 8 * workers * sum(_FIELDS.values()))
        values = np.frombuffer(memory, np.float64).reshape(workers, -1)
        ends = np.cumsum(list(_FIELDS.values()))[:-1]
        self._all = dict(zip(_FIELDS, np.split(values, ends, axis=1), strict=True))
        self.counters: dict[str, np.ndarray] = {}

    def for_worker(self, number: int) -> "Metrics":
        """Return the counters for this process; they continue those of an earlier worker of the same number."""
        own = copy(self)
        own.counters = {name: values[number] for name, values in self._all.items()}
        own.counters["waiting"][0], own.counters["pid"][0] = 0, os.getpid()
        return own

    def count_answer(self, status: int, seconds: float) -> None:
        """Count a request to /predict, answered with a status after some time."""
        self.counters["statuses"][_STATUSES.index(status) if status in _STATUSES else -1] += 1
        self.counters["seconds"][bisect_left(_SECONDS, seconds)] += 1
        self.counters["seconds_sum"][0] += seconds

    def observe_batch(self, samples: int) -> None:
        """Count a batch by its number of samples."""
        self.counters["samples"][bisect_left(_SAMPLES, samples)] += 1
        self.counters["samples_sum"][0] += samples

    def set_waiting(self, samples: int) -> None:
        """Set the number of samples that wait."""
        self.counters["waiting"][0] = samples

    def to_text(self, name: str, sha256: str) -> str:
        """Return all metrics in Prometheus' text format, version 0.0.4.

        Args:
            name: name of the model.
            sha256: that of its file.
        """
        return "".join(f"{line}\n" for line in self._lines(name, sha256))

    def _lines(self, name: str, sha256: str) -> Iterator[str]:
        total = {each: self._all[each].sum(0) for each in _FIELDS}
        yield from _head("model_info", "gauge", "The model that is served.")
        yield f'serve_model_info{{name="{_escape(name)}",sha256="{sha256}"}} 1'
        yield from _head("requests_total", "counter", "Requests to /predict by the status of their answers.")
        for status, number in zip((*_STATUSES, "other"), total["statuses"], strict=True):
            yield f'serve_requests_total{{status="{status}"}} {number:.0f}'
        yield from _histogram(
            "request_seconds", "Time from a request to its answer.", _SECONDS, total["seconds"], total["seconds_sum"][0]
        )
        yield from _histogram(
            "batch_samples", "Samples in a batch.", _SAMPLES, total["samples"], total["samples_sum"][0]
        )
        yield from _head("waiting_samples", "gauge", "Samples that wait for the net.")
        yield f"serve_waiting_samples {total['waiting'][0]:.0f}"
        yield from self._process_lines()

    def _process_lines(self) -> Iterator[str]:
        """Yield the CPU time and memory of the workers that run; nothing without Linux' /proc."""
        usage = {number: used for number, pid in enumerate(self._all["pid"][:, 0]) if (used := _read_usage(int(pid)))}
        if not usage:
            return
        yield from _head("cpu_seconds_total", "counter", "CPU time of a process.")
        for number, (seconds, _) in usage.items():
            yield f'serve_cpu_seconds_total{{worker="{number}"}} {seconds!r}'
        yield from _head("resident_memory_bytes", "gauge", "Memory of a process.")
        for number, (_, size) in usage.items():
            yield f'serve_resident_memory_bytes{{worker="{number}"}} {size}'


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP serve_{name} {text}"
    yield f"# TYPE serve_{name} {kind}"


def _histogram(name: str, text: str, bounds: Sequence[float], counts: np.ndarray, total: float) -> Iterator[str]:
    yield from _head(name, "histogram", text)
    sums = counts.cumsum()
    for bound, number in zip((*bounds, "+Inf"), sums, strict=True):
        yield f'serve_{name}_bucket{{le="{bound}"}} {number:.0f}'
    yield f"serve_{name}_sum {float(total)!r}"
    yield f"serve_{name}_count {sums[-1]:.0f}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _read_usage(pid: int) -> tuple[float, int] | None:
    """Return the CPU seconds and bytes of memory of a process; None if it does not run, or not on Linux."""
    try:
        # After the name of the program, which may contain spaces.
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # Fields 14, 15 (time as user and in the kernel) and 24 (pages) of proc_pid_stat(5), in which the name is field 2.
    seconds = (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")
    return seconds, int(values[21]) * os.sysconf("SC_PAGE_SIZE")
