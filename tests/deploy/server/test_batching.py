"""What errors, limits and clients that leave do to the other requests; the start and the end."""

import asyncio
import logging
import threading

import numpy as np
import pytest

from project.deploy.inputs import Numbers, Picture
from project.deploy.model_card import Length, ModelCard
from project.deploy.server.batching import make_zeros
from project.deploy.server.problems import Problem
from project.deploy.server.settings import Limits
from tests.deploy.onnx_files import CARD, card_with
from tests.deploy.server.conftest import Client
from tests.deploy.server.gated_net import (
    BAD,
    BROKEN,
    Net,
    RunningBatcher,
    run_test,
    set_times,
    settle,
    status_of,
    until,
)


@pytest.mark.parametrize(("value", "status", "logged"), [(BAD, 422, 0), (BROKEN, 500, 1)], ids=["bad", "broken"])
def test_sample_that_fails_does_no_harm_to_others(
    value: float, status: int, logged: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request has the error, with all its samples; the exception is in the log, but not in the answer."""
    set_times(monkeypatch, 0)

    async def check(running: RunningBatcher) -> None:
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
        run_test(check)
    assert [record.exc_info is not None for record in caplog.records] == [True, True][: 2 * logged]


def test_fault_of_the_predictor_reaches_the_requests_and_the_next_batch_works(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(running: RunningBatcher) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(running.net, "run_samples", lambda samples: [])
            assert await status_of(running.send(1)) == 500
        assert await running.send(2) == [4]

    run_test(check)
    assert "the net failed" in caplog.text


def test_samples_whose_client_left_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 1)

    async def check(running: RunningBatcher) -> None:
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

    run_test(check, wait_seconds=100)


def test_samples_of_a_request_that_failed_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 1)  # each sample is a batch

    async def check(running: RunningBatcher) -> None:
        first, bad, other = await running.occupy(), running.send(1, BAD, 2), running.send(3)
        await settle()
        running.net.gate.set()
        assert await status_of(bad) == 422
        assert [await first, await other] == [[0], [6]]
        assert running.net.batches == [[0], [1], [BAD], [3]]

    run_test(check, wait_seconds=100)


def test_request_that_would_wait_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says after which time the others will have been answered; a long request alone is taken."""
    set_times(monkeypatch, 0.1)  # 1.6 s for a sample

    async def check(running: RunningBatcher) -> None:
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

    run_test(check, wait_seconds=9)


def test_batch_that_was_slow_is_tried_again() -> None:
    """Else each fault of the machine would make the batches smaller for ever, and the estimated wait longer."""

    async def check(running: RunningBatcher) -> None:
        times = running.batcher._times
        for side in (4, 8):  # of one picture, and of four together
            times.add(side**2, 0.001 if side == 4 else 60.0)
        first, others = await running.occupy(), [running.send(value) for value in range(4)]
        await settle()
        assert running.batcher.estimate_wait() < 1
        running.net.gate.set()
        await asyncio.gather(first, *others)
        assert running.net.batches == [[0], [0, 1, 2, 3]]

    run_test(check)


def test_late_batch_counts_as_long_again_as_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 1)

    async def check(running: RunningBatcher) -> None:
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

    run_test(check, wait_seconds=7)


def test_answer_that_nobody_waits_for_is_dropped_and_its_batch_ends() -> None:
    """Until then, later requests know that the net works."""

    async def check(running: RunningBatcher) -> None:
        first = await running.occupy()
        first.cancel()
        await settle()
        assert first.cancelled()
        assert running.batcher.estimate_wait() > 0
        running.net.gate.set()
        await until(lambda: running.batcher.estimate_wait() == 0)
        assert await running.send(2) == [4]
        assert running.net.batches == [[0], [2]]

    run_test(check)


def test_busy_server_answers_when_to_come_back(shared_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_client.server.batcher, "estimate_wait", lambda: 12.5)
    answer = shared_client.request("POST", "/predict", b"{}", Content_Type="application/json")
    assert (answer.status, answer.headers["retry-after"]) == (503, "13")
    assert answer.json["detail"] == "too many requests are waiting: those before this one take about 13 s"


def test_drain_answers_what_waits_and_takes_nothing_new() -> None:
    others = {*threading.enumerate()}  # servers of other tests

    async def check(running: RunningBatcher) -> None:
        tasks = [await running.occupy(), running.send(1), running.send(2)]
        await settle()
        drained = asyncio.create_task(running.batcher.drain())
        await settle()
        assert await status_of(running.send(3)) == 503
        assert not drained.done()
        running.net.gate.set()
        await drained
        assert [task.result() for task in tasks] == [[0], [2], [4]]
        await until(lambda: not any(each.name.startswith("net_") for each in {*threading.enumerate()} - others))

    run_test(check)


@pytest.mark.parametrize(
    ("lengths", "sides"), [(Length(), [8, 8, 128]), (Length(4, 20, 3), [7, 7, 19])], ids=["free", "bounded"]
)
def test_start_computes_a_small_and_a_large_sample(lengths: Length, sides: list[int]) -> None:
    net = Net()
    net.card = card_with(inputs=net.card.inputs, shapes={"image": (Length(1, 1), lengths, lengths)})

    async def main() -> None:
        running = RunningBatcher(net, Limits())
        await running.batcher.start()
        await running.batcher.drain()

    asyncio.run(main())
    assert net.shapes == [{(1, side, side)} for side in sides]


def test_net_that_takes_no_zeros_starts(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    monkeypatch.setattr(net, "run_samples", lambda samples: 1 / 0)

    async def check(running: RunningBatcher) -> None:
        monkeypatch.undo()
        assert await running.send(1) == [2]

    run_test(check, net)
    assert "the net takes no sample of zeros: division by zero" in caplog.text


@pytest.mark.parametrize("dimensions", [3, 5, 30])
def test_zeros_of_many_free_dimensions_are_small(dimensions: int) -> None:
    """Five of 128 would need 128 GB."""
    net = Net()
    shapes = {"image": (Length(),) * dimensions}
    net.card = card_with(inputs={"image": Numbers((None,) * dimensions)}, shapes=shapes)
    assert 1 <= make_zeros(net, 128)["image"].size <= 128**2  # type: ignore[arg-type]


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
