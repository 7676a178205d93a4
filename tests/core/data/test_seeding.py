"""Seeds are hashes of their parts that never change, and seed python, numpy and torch."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from project.core.data import seeding
from project.core.data.seeding import derive_seed, derive_seeds, seed_all, seed_run, seed_step


def draw() -> tuple[float, float, float]:
    """Return a random number of python, numpy and torch each."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@pytest.mark.parametrize("seed", [0, 1])
def test_seed_run_seeds_python_numpy_and_torch(seed: int) -> None:
    seed_run(seed)
    first = draw()
    seed_run(seed)
    assert draw() == first
    seed_run(seed + 1)
    assert all(one != two for one, two in zip(first, draw(), strict=True))


def test_every_part_changes_the_seed() -> None:
    parts: list[tuple[int | str, ...]] = [
        *((0, "a", 1), (0, "a", 2), (0, "b", 1)),
        *((1, "a", 1), (0, "a"), (0, "a", 1, 0)),
    ]
    seeds = [derive_seed(*each) for each in parts]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_each_process_draws_other_numbers_in_a_step() -> None:
    """As dropout on several GPUs must: with equal numbers, all processes would drop the same units."""

    def draw_in(rank: int, *position: int, stage: str = "fit") -> tuple[float, float, float]:
        trainer = SimpleNamespace(global_rank=rank, strategy=SimpleNamespace(root_device=torch.device("cpu")))
        seed_step(trainer, 0, stage, *position)  # type: ignore[arg-type]
        return draw()

    first = draw_in(0, 1, 2)
    for other in (draw_in(1, 1, 2), draw_in(0, 1, 3), draw_in(0, 2, 2), draw_in(0, 1, 2, stage="val")):
        assert all(one != two for one, two in zip(first, other, strict=True))
    assert draw_in(0, 1, 2) == first


def test_seed_is_the_same_on_every_machine() -> None:
    """A run resumed elsewhere must draw the same numbers: this seed must never change."""
    assert derive_seed(0, "sample", 3) == 4826775862454517698


def test_derived_seeds_are_distinct_and_the_same_on_every_machine() -> None:
    """These seeds must never change either."""
    assert derive_seeds([0, 3], 0, "sample") == [5281009921767384597, 3391459365754398885]
    seeds = derive_seeds(range(100_000), 0, "sample")
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert not set(seeds) & set(derive_seeds(range(100_000), 0, "other"))
    low_bits = np.array(seeds) & 1
    assert abs(low_bits.mean() - 0.5) < 0.01
    assert derive_seeds([], 0) == []


def test_texts_in_seeds_never_change() -> None:
    """All random numbers of a run depend on them."""
    texts = {name: value for name, value in vars(seeding).items() if name.isupper() and isinstance(value, str)}
    assert texts == {
        "ORDER": "order",
        "SAMPLE": "sample",
        "BATCH": "batch",
        "BATCH_AUGMENTATION": "batch augmentation",
        "COLLATE": "collate",
        "FIT": "fit",
        "EPOCH": "epoch",
        "STREAM": "stream",
        "STEP": "step",
        "EPOCH_START": "epoch start",
        "EPOCH_END": "epoch end",
        "VALIDATION_START": "validation start",
    }


def test_seed_all_seeds_python_numpy_and_torch() -> None:
    seed_all(3, "x")
    first = draw()
    seed_all(3, "y")
    assert all(one != two for one, two in zip(first, draw(), strict=True))
    seed_all(3, "x")
    assert draw() == first


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_seed_all_seeds_the_device() -> None:
    device = torch.device("cuda", 0)
    seed_all(3, device=device)
    first = torch.rand(4, device=device)
    seed_all(3, device=device)
    assert torch.equal(torch.rand(4, device=device), first)
