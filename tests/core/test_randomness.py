import random

import numpy as np
import pytest
import torch

from project.core.randomness import derive, derive_each, seed_all, seed_run


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@pytest.mark.parametrize("seed", [0, 1])
def test_seed_run_seeds_all_three(seed: int) -> None:
    seed_run(seed)
    first = drawn()
    seed_run(seed)
    assert drawn() == first


def test_every_part_counts() -> None:
    seeds = [derive(*parts) for parts in [(0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1), (0, "a"), (0, "a", 1, 0)]]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_seed_is_the_same_on_every_machine() -> None:
    """A run that goes on elsewhere must draw the same: this number must never change."""
    assert derive(0, "sample", 3) == 4826775862454517698


def test_a_seed_for_each_of_many() -> None:
    """As above: these must never change."""
    assert derive_each([0, 3], 0, "sample") == [5281009921767384597, 3391459365754398885]
    seeds = derive_each(range(100_000), 0, "sample")
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert not set(seeds) & set(derive_each(range(100_000), 0, "other"))
    low_bits = np.array(seeds) & 1
    assert abs(low_bits.mean() - 0.5) < 0.01
    assert derive_each([], 0) == []


def test_seed_all_seeds_all_three() -> None:
    seed_all(3, "x")
    first = drawn()
    seed_all(3, "y")
    assert all(one != two for one, two in zip(first, drawn(), strict=True))
    seed_all(3, "x")
    assert drawn() == first


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_seed_all_seeds_the_device() -> None:
    device = torch.device("cuda", 0)
    seed_all(3, device=device)
    first = torch.rand(4, device=device)
    seed_all(3, device=device)
    assert torch.equal(torch.rand(4, device=device), first)
