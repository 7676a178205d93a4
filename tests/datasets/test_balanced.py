from collections import Counter
from collections.abc import Callable

from tests.conftest import Cli
from tests.datasets.balanced import BalancedDigits


def test_every_class_equally_often() -> None:
    digits = BalancedDigits("train")
    rare = (digits.label != 3) | (digits.label.eq(3).cumsum(0) <= 20)
    digits.image, digits.label = digits.image[rare], digits.label[rare]
    order = digits.order(0, 0)
    largest = int(digits.label.bincount().max())
    assert Counter(digits.label[order].tolist()) == dict.fromkeys(range(10), largest)
    assert set(order) == set(range(len(digits)))  # none is left out
    threes = Counter(index for index in order if digits.label[index] == 3)
    assert max(threes.values()) - min(threes.values()) <= 1  # and none comes up twice before all did once


def test_it_depends_on_seed_and_epoch_alone() -> None:
    orders = [BalancedDigits("train").order(seed, epoch) for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3


def test_it_trains(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny({"data": {"train": {"type": "tests.datasets.balanced.BalancedDigits", "split": "train"}}})
    assert cli("fit", "--config", config).code == 0
