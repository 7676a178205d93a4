"""Which samples go together, and in which order."""

import asyncio

import pytest

from tests.deploy.server.gated_net import Net, RunningBatcher, run_test, set_times, settle
from tests.deploy.server.metrics_text import read_metrics


def test_samples_that_wait_go_together_and_have_their_own_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 0)

    async def check(running: RunningBatcher) -> None:
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

    run_test(check)


def test_first_sample_does_not_wait_for_others() -> None:
    async def check(running: RunningBatcher) -> None:
        assert await running.send(1) == [2]
        assert await running.send() == []
        assert running.net.batches == [[1]]

    run_test(check)


@pytest.mark.parametrize(
    ("side", "batches"),
    [(4, [[1, 2, 3, 4], [5, 6]]), (9, [[1], [2], [3], [4], [5], [6]])],
    ids=["small", "larger than allowed"],
)
def test_batches_are_capped_by_pixels(side: int, batches: list[list[float]], monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 0)

    async def check(running: RunningBatcher) -> None:
        tasks = [await running.occupy(), *(running.send(value, side=side) for value in range(1, 7))]
        await settle()
        running.net.gate.set()
        await asyncio.gather(*tasks)
        assert running.net.batches[1:] == batches

    run_test(check, Net(largest_picture=8))


def test_batches_end_where_more_samples_gain_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 0.009 / 16)

    async def check(running: RunningBatcher) -> None:
        tasks = [await running.occupy(), running.send(1, 2, 3), running.send(4, 5)]
        await settle()
        running.net.gate.set()
        assert [await task for task in tasks[1:]] == [[2, 4, 6], [8, 10]]
        assert running.net.batches[1:] == [[1, 2], [3, 4], [5]]

    run_test(check)


def test_shapes_are_taken_in_the_order_of_their_oldest_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large pictures do not keep small ones from the net, nor small ones large ones."""
    set_times(monkeypatch, 0)

    async def check(running: RunningBatcher) -> None:
        tasks = [await running.occupy()]
        tasks += [running.send(value, side=side) for value, side in [(1, 8), (2, 2), (3, 8), (4, 2), (5, 8), (6, 3)]]
        await settle()
        running.net.gate.set()
        await asyncio.gather(*tasks)
        assert running.net.batches[1:] == [[1, 3], [2, 4], [5], [6]]
        assert [{shape[1] for shape in shapes} for shapes in running.net.shapes[1:]] == [{8}, {2}, {8}, {3}]

    run_test(check, Net(largest_picture=12))


def test_request_with_samples_of_several_shapes_has_its_answers_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, 0)

    async def check(running: RunningBatcher) -> None:
        assert await running.send(1, 2, 3, 4, sides=[8, 2, 8, 2]) == [2, 4, 6, 8]
        assert running.net.batches == [[1, 3], [2, 4]]

    run_test(check)
