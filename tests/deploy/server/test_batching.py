"""Batches: what goes together, who waits for whom, and what errors and clients that leave do to the others."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from project.deploy.inputs import InputError, Numbers, Picture
from project.deploy.model_card import Length, ModelCard
from project.deploy.server.batch_times import BatchTimes
from project.deploy.server.batching import Batcher, make_zeros
from project.deploy.server.metrics import Metrics
from project.deploy.server.problems import Problem
from project.deploy.server.settings import Limits
from project.deploy.server.waiting import Arrays
from tests.deploy.onnx_files import CARD, card_with
from tests.deploy.server.test_metrics import read_metrics

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


class Running:
    """A batcher and its net, after the start."""

    def __init__(self, net: Net, limits: Limits) -> None:
        self.net, self.metrics = net, Metrics(1).for_worker(0)
        self.batcher = Batcher(net, limits, self.metrics)  # type: ignore[arg-type]

    def send(self, *values: float, side: int = 4) -> asyncio.Task[list[float]]:
        """Send a request with a sample for each value."""
        samples = [{"image": np.full((1, side, side), value, np.float32)} for value in values]

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


def run(test: Callable[[Running], Awaitable[None]], net: Net | None = None, **limits: Any) -> None:
    """Run a test with a batcher, which is drained in the end."""

    async def main() -> None:
        running = Running(net or Net(), Limits(**limits))
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


def test_samples_that_wait_go_together_and_have_their_own_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 0)

    async def check(running: Running) -> None:
        first = await running.occupy()
        others = [running.send(1), running.send(2, 3), running.send(4)]
        await settle()
        assert running.waiting() == 4
        running.net.gate.set()
        assert await asyncio.gather(first, *others) == [[0], [2], [4, 6], [8]]
        assert running.net.batches == [[0], [1, 2, 3, 4]]
        assert running.waiting() == 0
        metrics = read_metrics(running.metrics.to_text("", ""))
        assert (metrics["serve_batch_samples_count"], metrics["serve_batch_samples_sum"]) == (2, 5)

    run(check)


def test_first_sample_does_not_wait_for_others() -> None:
    async def check(running: Running) -> None:
        assert await running.send(1) == [2]
        assert await running.send() == []
        assert running.net.batches == [[1]]

    run(check)


@pytest.mark.parametrize(
    ("side", "batches"),
    [(4, [[1, 2, 3, 4], [5, 6]]), (9, [[1], [2], [3], [4], [5], [6]])],
    ids=["small", "larger than allowed"],
)
def test_batches_are_capped_by_pixels(side: int, batches: list[list[float]], monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 0)

    async def check(running: Running) -> None:
        tasks = [await running.occupy(), *(running.send(value, side=side) for value in range(1, 7))]
        await settle()
        running.net.gate.set()
        await asyncio.gather(*tasks)
        assert running.net.batches[1:] == batches

    run(check, Net(largest_picture=8))


def test_batches_end_where_more_samples_gain_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 0.009 / 16)

    async def check(running: Running) -> None:
        tasks = [await running.occupy(), running.send(1, 2, 3), running.send(4, 5)]
        await settle()
        running.net.gate.set()
        assert [await task for task in tasks[1:]] == [[2, 4, 6], [8, 10]]
        assert running.net.batches[1:] == [[1, 2], [3, 4], [5]]

    run(check)


def test_shapes_are_taken_in_the_order_of_their_oldest_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large pictures do not keep small ones from the net, nor small ones large ones."""
    set_times(monkeypatch, 0)

    async def check(running: Running) -> None:
        tasks = [await running.occupy()]
        tasks += [running.send(value, side=side) for value, side in [(1, 8), (2, 2), (3, 8), (4, 2), (5, 8), (6, 3)]]
        await settle()
        running.net.gate.set()
        await asyncio.gather(*tasks)
        assert running.net.batches[1:] == [[1, 3], [2, 4], [5], [6]]
        assert [{shape[1] for shape in shapes} for shapes in running.net.shapes[1:]] == [{8}, {2}, {8}, {3}]

    run(check, Net(largest_picture=12))


@pytest.mark.parametrize(("value", "status", "logged"), [(BAD, 422, 0), (BROKEN, 500, 1)], ids=["bad", "broken"])
def test_sample_that_fails_does_no_harm_to_others(
    value: float, status: int, logged: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request has the error, with all its samples; the exception is in the log, but not in the answer."""
    set_times(monkeypatch, 0)

    async def check(running: Running) -> None:
        tasks = [await running.occupy(), running.send(1), running.send(2, value), running.send(3)]
        await settle()
        running.net.gate.set()
        with pytest.raises(Problem) as raised:
            await tasks[2]
        assert (raised.value.status, "sample 1: its shape is bad" in str(raised.value)) == (status, value == BAD)
        assert "broken" not in str(raised.value)
        assert [await tasks[1], await tasks[3]] == [[2], [6]]
        assert await status_of(running.send(value)) == status
        assert await running.send(5) == [10]

    with caplog.at_level(logging.ERROR):
        run(check)
    assert [record.exc_info is not None for record in caplog.records] == [True, True][: 2 * logged]


def test_fault_of_the_predictor_reaches_the_requests_and_the_next_batch_works(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(running: Running) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(running.net, "run_samples", lambda samples: [])
            assert await status_of(running.send(1)) == 500
        assert await running.send(2) == [4]

    run(check)
    assert "the net failed" in caplog.text


def test_samples_whose_client_left_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 1)

    async def check(running: Running) -> None:
        first, left, stays = await running.occupy(), running.send(1, 2), running.send(3)
        await settle()
        waited = running.batcher.estimate_wait()
        left.cancel()
        await settle()
        assert running.batcher.estimate_wait() == pytest.approx(waited - 32, abs=1)
        assert running.waiting() == 1
        running.net.gate.set()
        assert [await first, await stays] == [[0], [6]]
        assert running.net.batches == [[0], [3]]

    run(check, wait_seconds=100)


def test_samples_of_a_request_that_failed_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 1)  # each sample is a batch

    async def check(running: Running) -> None:
        first, bad, other = await running.occupy(), running.send(1, BAD, 2), running.send(3)
        await settle()
        running.net.gate.set()
        assert await status_of(bad) == 422
        assert [await first, await other] == [[0], [6]]
        assert running.net.batches == [[0], [1], [BAD], [3]]

    run(check, wait_seconds=100)


def test_request_that_would_wait_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says after which time the others will have been answered; a long request alone is taken."""
    set_times(monkeypatch, 0.1)  # 1.6 s for a sample

    async def check(running: Running) -> None:
        assert await running.send(*range(8)) == [0, 2, 4, 6, 8, 10, 12, 14]  # 12.8 s
        tasks = [await running.occupy(), running.send(1, 2, 3)]
        await settle()
        running.batcher.check_wait()
        with pytest.raises(Problem) as raised:
            await running.send(4, 5, 6)
        assert (raised.value.status, raised.value.headers) == (503, {"Retry-After": "5"})
        tasks.append(running.send(4, 5))
        await settle()
        assert await status_of(running.send(7)) == 503
        running.net.gate.set()
        assert (await asyncio.gather(*tasks))[1:] == [[2, 4, 6], [8, 10]]
        assert await running.send(7) == [14]

    run(check, wait_seconds=9)


def test_late_batch_counts_as_long_again_as_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 1)

    async def check(running: Running) -> None:
        first, loop = await running.occupy(), asyncio.get_running_loop()
        now = loop.time()
        for later, seconds in [(0, 1), (0.75, 0.25), (1, 0), (9.4, 8.4)]:
            monkeypatch.setattr(loop, "time", lambda value=now + later: value)
            assert running.batcher.estimate_wait() == pytest.approx(seconds, abs=0.1)
        with pytest.raises(Problem) as raised:
            running.batcher.check_wait()
        assert raised.value.headers == {"Retry-After": "9"}
        monkeypatch.undo()
        running.net.gate.set()
        assert await first == [0]

    run(check, wait_seconds=7)


def test_answer_that_takes_too_long_is_dropped_and_its_batch_ends() -> None:
    async def check(running: Running) -> None:
        assert await status_of(await running.occupy()) == 504
        assert await status_of(running.send(1)) == 504  # waited for it
        assert running.batcher.estimate_wait() > 0
        running.net.gate.set()
        await until(lambda: running.batcher.estimate_wait() == 0)
        assert await running.send(2) == [4]
        assert running.net.batches == [[0], [2]]

    run(check, answer_seconds=0.02)


def test_drain_answers_what_waits_and_takes_nothing_new() -> None:
    async def check(running: Running) -> None:
        tasks = [await running.occupy(), running.send(1), running.send(2)]
        await settle()
        drained = asyncio.create_task(running.batcher.drain())
        await settle()
        assert await status_of(running.send(3)) == 503
        assert not drained.done()
        running.net.gate.set()
        await drained
        assert [task.result() for task in tasks] == [[0], [2], [4]]
        await until(lambda: not any(thread.name.startswith("net_") for thread in threading.enumerate()))

    run(check)


@pytest.mark.parametrize(
    ("lengths", "sides"), [(Length(), [8, 8, 128]), (Length(4, 20, 3), [7, 7, 19])], ids=["free", "bounded"]
)
def test_start_computes_a_small_and_a_large_sample(lengths: Length, sides: list[int]) -> None:
    net = Net()
    net.card = card_with(inputs=net.card.inputs, shapes={"image": (Length(1, 1), lengths, lengths)})

    async def main() -> None:
        running = Running(net, Limits())
        await running.batcher.start()
        await running.batcher.drain()

    asyncio.run(main())
    assert net.shapes == [{(1, side, side)} for side in sides]


def test_net_that_takes_no_zeros_starts(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    monkeypatch.setattr(net, "run_samples", lambda samples: 1 / 0)

    async def check(running: Running) -> None:
        monkeypatch.undo()
        assert await running.send(1) == [2]

    run(check, net)
    assert "the net takes no sample of zeros: division by zero" in caplog.text


def test_zeros_have_lengths_that_are_allowed() -> None:
    card: ModelCard = card_with(
        inputs={"image": Picture(channels=1), "tokens": Numbers((None,), "int64"), "offset": Numbers((2,))},
        shapes={
            "image": (Length(1, 1), Length(16, None, 32), Length(4, 100)),
            "tokens": (Length(0, 50),),
            "offset": CARD.shapes["offset"],
        },
    )
    net = Net()
    net.card, net.dtypes = card, {name: np.dtype(raw.dtype) for name, raw in card.inputs.items()}
    shapes = [
        {name: (array.shape, array.dtype.name) for name, array in make_zeros(net, length).items()}  # type: ignore[arg-type]
        for length in (8, 128)
    ]
    assert shapes == [
        {"image": ((1, 16, 8), "float32"), "tokens": ((8,), "int64"), "offset": ((2,), "float32")},
        {"image": ((1, 112, 100), "float32"), "tokens": ((50,), "int64"), "offset": ((2,), "float32")},
    ]
