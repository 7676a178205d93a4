"""Metrics in Prometheus' text format, also of several processes."""

import os
import re
from pathlib import Path

import pytest

from project.deploy.server.metrics import Metrics
from tests.deploy.server.conftest import Client
from tests.deploy.server.metrics_text import read_metrics

SHA = "ab" * 32


def test_values_are_what_was_counted() -> None:
    metrics = Metrics(1).for_worker(0)
    for status, seconds in [(200, 0.002), (200, 0.003), (200, 0.5), (503, 0.0001), (418, 99)]:
        metrics.count_answer(status, seconds)
    for samples in (1, 1, 3, 500):
        metrics.observe_batch(samples)
    metrics.set_waiting(7)
    metrics.set_waiting(6)
    values = read_metrics(metrics.to_text("digits", SHA))
    requests = {name: value for name, value in values.items() if name.startswith("serve_requests") and value}
    assert requests == {
        'serve_requests_total{status="200"}': 3,
        'serve_requests_total{status="503"}': 1,
        'serve_requests_total{status="other"}': 1,
    }
    buckets = {
        name.split('"')[1]: value for name, value in values.items() if name.startswith("serve_request_seconds_b")
    }
    assert buckets == {"0.001": 1, "0.003": 3, "0.01": 3, "0.03": 3, "0.1": 3, "0.3": 3} | {
        "1": 4,
        "3": 4,
        "10": 4,
        "30": 4,
        "+Inf": 5,
    }
    assert values["serve_request_seconds_sum"] == pytest.approx(99.5051)
    buckets = {name.split('"')[1]: value for name, value in values.items() if name.startswith("serve_batch_samples_b")}
    assert buckets == {"1": 2, "2": 2, "4": 3, "8": 3, "16": 3, "32": 3, "64": 3, "+Inf": 4}
    assert values["serve_batch_samples_sum"] == 505
    assert values["serve_waiting_samples"] == 6
    assert values[f'serve_model_info{{name="digits",sha256="{SHA}"}}'] == 1


def test_counters_of_nothing_are_there_as_zeros() -> None:
    """A rate needs the value before the first event."""
    values = read_metrics(Metrics(2).for_worker(1).to_text("digits", SHA))
    assert values['serve_requests_total{status="500"}'] == values["serve_batch_samples_count"] == 0


def test_name_is_escaped() -> None:
    values = read_metrics(Metrics(1).for_worker(0).to_text('a"b\\c\nd', SHA))
    assert f'serve_model_info{{name="a\\"b\\\\c\\nd",sha256="{SHA}"}}' in values


def test_workers_are_summed_over_processes() -> None:
    """Each worker answers with the sums; one that replaces another continues its counters, but nothing waits."""
    metrics = Metrics(3)
    for number in (1, 2, 1):
        pid = os.fork()
        if pid == 0:
            try:
                own = metrics.for_worker(number)
                for _ in range(100):
                    own.count_answer(200, 0.25)
                own.set_waiting(5)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
    own = metrics.for_worker(0)
    own.count_answer(200, 0.25)
    values = read_metrics(own.to_text("digits", SHA))
    assert values['serve_requests_total{status="200"}'] == 301
    assert values["serve_request_seconds_sum"] == pytest.approx(75.25)
    assert values["serve_waiting_samples"] == 10
    metrics.for_worker(2)
    assert read_metrics(own.to_text("digits", SHA))["serve_waiting_samples"] == 5


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_memory_and_cpu_time_are_those_of_the_processes_that_run() -> None:
    metrics = Metrics(2)
    own = metrics.for_worker(1)
    values = read_metrics(own.to_text("digits", SHA))
    used = sum(os.times()[:2])
    assert used - 0.5 <= values['serve_cpu_seconds_total{worker="1"}'] <= used + 0.02
    size = int(re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0]) * 1024
    assert values['serve_resident_memory_bytes{worker="1"}'] == pytest.approx(size, rel=0.1)
    assert 'serve_cpu_seconds_total{worker="0"}' not in values


def test_route_answers_the_metrics(shared_client: Client) -> None:
    answer = shared_client.request("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = read_metrics(answer.body.decode())
    assert values[f'serve_model_info{{name="tiny",sha256="{shared_client.server.predictor.sha256}"}}'] == 1
    assert values["serve_waiting_samples"] == 0
