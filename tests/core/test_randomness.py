import pytest
import torch

from project.core.randomness import FrozenOrder, ShuffledOrder, seed_run


def test_order_depends_on_seed_and_epoch_alone() -> None:
    order = ShuffledOrder(20, seed=1)
    torch.manual_seed(5)
    first = list(order)
    torch.manual_seed(6)
    assert list(order) == first
    assert sorted(first) == list(range(20))
    order.set_epoch(1)
    assert list(order) != first
    assert list(ShuffledOrder(20, seed=2)) != first
    order.set_epoch(0)
    assert list(order) == first


def test_an_order_of_the_datasets_own() -> None:
    order = ShuffledOrder(4, seed=3, order=lambda seed, epoch: [seed, epoch])
    order.set_epoch(7)
    assert (list(order), len(order)) == ([3, 7], 2)


def test_a_frozen_order_is_that_of_the_first_epoch() -> None:
    frozen = FrozenOrder(ShuffledOrder(20, seed=1))
    assert list(frozen) == list(frozen) == list(ShuffledOrder(20, seed=1))
    assert len(frozen) == 20
    assert not hasattr(frozen, "set_epoch")


@pytest.mark.parametrize("seed", [0, 1])
def test_seed_run_seeds_torch(seed: int) -> None:
    seed_run(seed)
    first = torch.rand(3)
    seed_run(seed)
    assert torch.equal(torch.rand(3), first)
