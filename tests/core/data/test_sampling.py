"""The order of samples is a fair shuffle that depends on seed and epoch alone, and can start at any batch."""

import time
import tracemalloc
from collections import Counter
from itertools import chain
from math import factorial

import numpy as np
import pytest

from project.core.data.sampling import Permutation, ResumableBatchSampler, TrainingPosition
from project.core.data.seeding import derive_seed


def batches_of(sampler: ResumableBatchSampler) -> list[list[int]]:
    """Return the samples of each batch, over all ranks."""
    return [request.indices for request in sampler]


def own_rows_of(sampler: ResumableBatchSampler) -> list[list[int]]:
    """Return the samples of each batch that this rank loads."""
    return [request.indices[request.rows] for request in sampler]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 10, 100, 1269, 100_003])
def test_permutation_contains_each_value_once(length: int) -> None:
    assert sorted(Permutation(length, 5)(np.arange(length)).tolist()) == list(range(length))


@pytest.mark.parametrize(("length", "draws"), [(3, 600), (5, 3_000)])
def test_all_permutations_are_equally_frequent(length: int, draws: int) -> None:
    """Chi-squared over its degrees of freedom, whose standard deviation is about sqrt(2 / degrees).

    With eight rounds instead of twelve, 3,000 permutations of five are 6 deviations off.
    """
    found = Counter(tuple(Permutation(length, derive_seed(key))(np.arange(length)).tolist()) for key in range(draws))
    expected = draws / factorial(length)
    degrees = factorial(length) - 1
    squares = sum((count - expected) ** 2 / expected for count in found.values())
    assert len(found) == factorial(length)
    assert squares / degrees < 1 + 4 * np.sqrt(2 / degrees)


@pytest.mark.parametrize("length", [10, 37, 1000])
def test_each_value_is_equally_frequent_at_each_index_and_neighbors_are_independent(length: int) -> None:
    draws = 30_000 // length
    values_by_index, differences = np.zeros((length, length)), np.zeros(length)
    for key in range(draws):
        values = Permutation(length, derive_seed(key))(np.arange(length))
        values_by_index[np.arange(length), values] += 1
        differences += np.bincount(np.diff(values) % length, minlength=length)
    for counts, degrees in ((values_by_index, (length - 1) ** 2), (differences[1:], length - 2)):
        squares = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
        assert squares / degrees < 1 + 4 * np.sqrt(2 / degrees)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first = batches_of(ResumableBatchSampler(20, 4, seed=1, is_training=True))
    assert batches_of(ResumableBatchSampler(20, 4, seed=1, is_training=True)) == first
    assert batches_of(ResumableBatchSampler(20, 4, seed=2, is_training=True)) != first
    second = batches_of(
        ResumableBatchSampler(20, 4, seed=1, is_training=True, get_position=lambda: TrainingPosition(1, 0))
    )
    assert second != first
    for epoch in (first, second):
        assert sorted(index for batch in epoch for index in batch) == list(range(20))


def test_order_never_changes() -> None:
    """A run resumed by a later version must continue in the order in which it began."""
    sampler = ResumableBatchSampler(10, 5, seed=1, is_training=True, get_position=lambda: TrainingPosition(3))
    assert batches_of(sampler) == [[2, 5, 8, 3, 0], [9, 6, 1, 4, 7]]


def test_training_drops_an_incomplete_batch_and_evaluation_keeps_it() -> None:
    assert [len(batch) for batch in batches_of(ResumableBatchSampler(10, 4, seed=0, is_training=True))] == [4, 4]
    evaluation = batches_of(ResumableBatchSampler(10, 4, seed=0, is_training=False))
    assert evaluation == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    lengths = [len(ResumableBatchSampler(10, 4, seed=0, is_training=is_training)) for is_training in (True, False)]
    assert lengths == [2, 3]


@pytest.mark.parametrize("batch_size", [3, 5000])
def test_iteration_starts_at_the_position_in_the_epoch(batch_size: int) -> None:
    def batches_after(done: int) -> list[object]:
        sampler = ResumableBatchSampler(
            12 * batch_size, batch_size, seed=0, is_training=True, get_position=lambda: TrainingPosition(3, done)
        )
        return list(sampler)

    epoch = batches_after(0)
    assert len(epoch) == 12
    for done in (1, 7, 12):
        assert batches_after(done) == epoch[done:]


@pytest.mark.parametrize("world_size", [2, 3, 4, 7])
@pytest.mark.parametrize("is_training", [True, False])
def test_ranks_divide_the_batches_of_one_process(world_size: int, is_training: bool) -> None:
    """The number of ranks need not divide the size of a batch, and may be larger."""
    whole = batches_of(ResumableBatchSampler(23, 6, seed=0, is_training=is_training))
    shares = [
        own_rows_of(ResumableBatchSampler(23, 6, seed=0, is_training=is_training, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    first = [len(share[0]) for share in shares]
    assert max(first) - min(first) <= 1
    assert {len(share) for share in shares} == {len(whole)}  # a rank without samples left gets empty batches
    assert [[*chain(*parts)] for parts in zip(*shares, strict=True)] == whole


def test_order_of_the_dataset_replaces_shuffling_in_training() -> None:
    sampler = ResumableBatchSampler(
        4,
        2,
        seed=3,
        is_training=True,
        order=lambda seed, epoch: [seed, epoch, 0],
        get_position=lambda: TrainingPosition(2, 0),
    )
    assert (batches_of(sampler), len(sampler)) == ([[3, 2]], 1)
    evaluation = ResumableBatchSampler(4, 2, seed=3, is_training=False, order=lambda seed, epoch: [seed])
    assert batches_of(evaluation) == [[0, 1], [2, 3]]


@pytest.mark.parametrize(("epoch", "num_batches"), [(0, 4), (1, 2), (3, 1)])
def test_length_of_the_datasets_order_may_depend_on_the_epoch(epoch: int, num_batches: int) -> None:
    sampler = ResumableBatchSampler(
        8,
        2,
        seed=0,
        is_training=True,
        order=lambda seed, epoch: list(range(8 // (1 + epoch))),
        get_position=lambda: TrainingPosition(epoch),
    )
    assert len(batches_of(sampler)) == num_batches


def test_a_hundred_million_samples_take_little_memory_and_start_at_once() -> None:
    tracemalloc.start()
    start = time.process_time()
    batches = iter(ResumableBatchSampler(100_000_000, 128, seed=0, is_training=True))
    next(batches)
    seconds = time.process_time() - start
    for _ in range(100):
        next(batches)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 0.1
    assert peak < 2_000_000
