import time
import tracemalloc
from collections import Counter
from itertools import chain
from math import factorial

import numpy as np
import pytest

from project.core.order import Batches, Permutation, Place
from project.core.randomness import derive


def indices(batches: Batches, rank: bool = False) -> list[list[int]]:
    return [request.indices[request.rows] if rank else request.indices for request in batches]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 10, 100, 1269, 100_003])
def test_it_is_a_permutation(length: int) -> None:
    assert sorted(Permutation(length, 5)(np.arange(length)).tolist()) == list(range(length))


@pytest.mark.parametrize("length", [3, 5])
def test_all_permutations_are_equally_frequent(length: int) -> None:
    """Chi-squared over its degrees of freedom, of which the deviation is about sqrt(2 / degrees)."""
    draws = 6_000
    found = Counter(tuple(Permutation(length, derive(key))(np.arange(length)).tolist()) for key in range(draws))
    expected = draws / factorial(length)
    degrees = factorial(length) - 1
    squares = sum((count - expected) ** 2 / expected for count in found.values())
    assert len(found) == factorial(length)
    assert squares / degrees < 1 + 4 * np.sqrt(2 / degrees)


@pytest.mark.parametrize("length", [10, 37, 1000])
def test_every_value_stands_everywhere_equally_often_and_neighbours_are_unrelated(length: int) -> None:
    draws = 60_000 // length
    places, steps = np.zeros((length, length)), np.zeros(length)
    for key in range(draws):
        values = Permutation(length, derive(key))(np.arange(length))
        places[np.arange(length), values] += 1
        steps += np.bincount(np.diff(values) % length, minlength=length)
    for counts, degrees in ((places, (length - 1) ** 2), (steps[1:], length - 2)):
        squares = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
        assert squares / degrees < 1 + 4 * np.sqrt(2 / degrees)


def test_an_order_depends_on_seed_and_epoch_alone() -> None:
    first = indices(Batches(20, 4, seed=1, shuffle=True))
    assert indices(Batches(20, 4, seed=1, shuffle=True)) == first
    assert indices(Batches(20, 4, seed=2, shuffle=True)) != first
    second = indices(Batches(20, 4, seed=1, shuffle=True, position=lambda: Place(1, 0)))
    assert second != first
    for epoch in (first, second):
        assert sorted(index for batch in epoch for index in batch) == list(range(20))


def test_training_drops_the_incomplete_batch_and_evaluation_keeps_it() -> None:
    assert [len(batch) for batch in indices(Batches(10, 4, seed=0, shuffle=True))] == [4, 4]
    assert indices(Batches(10, 4, seed=0, shuffle=False)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [len(Batches(10, 4, seed=0, shuffle=shuffle)) for shuffle in (True, False)] == [2, 3]


@pytest.mark.parametrize("batch_size", [3, 5000])
def test_it_begins_where_the_run_stands(batch_size: int) -> None:
    length = 12 * batch_size
    whole = list(Batches(length, batch_size, seed=0, shuffle=True, position=lambda: Place(3, 0)))
    for done in (1, 7, 12):
        assert (
            list(Batches(length, batch_size, seed=0, shuffle=True, position=lambda done=done: Place(3, done)))
            == whole[done:]
        )  # type: ignore[misc]


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_processes_share_the_same_batches(processes: int, shuffle: bool) -> None:
    whole = indices(Batches(23, 6, seed=0, shuffle=shuffle))
    shares = [
        indices(Batches(23, 6, seed=0, shuffle=shuffle, share=(rank, processes)), rank=True)
        for rank in range(processes)
    ]
    assert {len(share) for share in shares} == {len(whole)}  # those that have run out get empty batches
    assert [[*chain(*parts)] for parts in zip(*shares, strict=True)] == whole


def test_an_order_of_the_datasets_own() -> None:
    batches = Batches(
        4, 2, seed=3, shuffle=True, order=lambda seed, epoch: [seed, epoch, 0], position=lambda: Place(2, 0)
    )
    assert (indices(batches), len(batches)) == ([[3, 2]], 1)
    unshuffled = Batches(4, 2, seed=3, shuffle=False, order=lambda seed, epoch: [seed])
    assert indices(unshuffled) == [[0, 1], [2, 3]]


def test_an_order_whose_length_depends_on_the_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return list(range(8 // (1 + epoch)))

    assert [len(indices(Batches(8, 2, 0, True, order, position=lambda e=e: Place(e)))) for e in (0, 1, 3)] == [4, 2, 1]  # type: ignore[misc]


def test_a_hundred_million_samples_need_no_memory_and_no_wait() -> None:
    tracemalloc.start()
    start = time.perf_counter()
    batches = iter(Batches(100_000_000, 128, seed=0, shuffle=True))
    next(batches)
    seconds = time.perf_counter() - start
    for _ in range(100):
        next(batches)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 0.1
    assert peak < 2_000_000
