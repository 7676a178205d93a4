"""A net whose gate a test opens and closes, and a batcher that runs it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from project.deploy.inputs import InputError, Picture
from project.deploy.model_card import Length
from project.deploy.server.batch_times import BatchTimes
from project.deploy.server.batching import Batcher
from project.deploy.server.metrics import Metrics
from project.deploy.server.problems import Problem
from project.deploy.server.settings import Limits
from project.deploy.server.waiting import Arrays
from tests.deploy.onnx_files import card_with
from tests.deploy.server.metrics_text import read_metrics

BAD, BROKEN = -1.0, -2.0  # values that the net does not take, and at which it fails


class Net:
    """Predictor of grey pictures that doubles their first value, and waits while its gate is closed."""

    def __init__(self, largest_picture: int | None = None) -> None:
        self.card = card_with(
            inputs={"image": Picture(channels=1)},
            shapes={"image": (Length(1, 1), Length(), Length())},
            largest_picture=largest_picture,
        )
        self.dtypes = {"image": np.dtype("float32")}
        self.batches: list[list[float]] = []  # the first values of the samples
        self.shapes: list[set[tuple[int, ...]]] = []
        self.gate = threading.Event()
        self.gate.set()

    def run_samples(self, samples: Sequence[Arrays]) -> list[Arrays]:
        values = [float(sample["image"].flat[0]) for sample in samples]
        self.batches.append(values)
        self.shapes.append({sample["image"].shape for sample in samples})
        assert self.gate.wait(5)
        if BAD in values:
            raise InputError("its shape is bad")
        if BROKEN in values:
            raise RuntimeError("broken")
        return [{"double": np.array(2 * value)} for value in values]


class RunningBatcher:
    """A batcher and its net, after the start."""

    def __init__(self, net: Net, limits: Limits) -> None:
        self.net, self.metrics = net, Metrics(1).for_worker(0)
        self.batcher = Batcher(net, limits, self.metrics)  # type: ignore[arg-type]

    def send(self, *values: float, side: int = 4, sides: Sequence[int] = ()) -> asyncio.Task[list[float]]:
        """Send a request with a sample for each value; `sides` are those of each."""
        samples = [
            {"image": np.full((1, side, side), value, np.float32)}
            for value, side in zip(values, sides or [side] * len(values), strict=True)
        ]

        async def answer() -> list[float]:
            return [float(outputs["double"]) for outputs in await self.batcher.predict(samples)]

        return asyncio.create_task(answer())

    async def occupy(self) -> asyncio.Task[list[float]]:
        """Close the gate of the net, and send it a sample of the value 0."""
        self.net.gate.clear()
        before, task = len(self.net.batches), self.send(0, side=1)
        await until(lambda: len(self.net.batches) > before)
        return task

    def waiting(self) -> float:
        return read_metrics(self.metrics.to_text("", ""))["serve_waiting_samples"]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def settle() -> None:
    """Let the tasks that were created run until they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


def run_test(test: Callable[[RunningBatcher], Awaitable[None]], net: Net | None = None, **limits: Any) -> None:
    """Run a test with a batcher, which is drained in the end."""

    async def main() -> None:
        running = RunningBatcher(net or Net(), Limits(**limits))
        await running.batcher.start()
        running.net.batches.clear()
        running.net.shapes.clear()
        try:
            await test(running)
        finally:
            running.net.gate.set()
            await running.batcher.drain()

    asyncio.run(main())


def set_times(monkeypatch: pytest.MonkeyPatch, seconds_per_pixel: float) -> None:
    """Let batches be estimated to take a time."""
    monkeypatch.setattr(BatchTimes, "estimate", lambda self, pixels: seconds_per_pixel * pixels)


async def status_of(task: asyncio.Task[Any]) -> int:
    """Return the status that a request is answered with."""
    with pytest.raises(Problem) as raised:
        await task
    return raised.value.status
