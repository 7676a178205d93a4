from collections import Counter
from collections.abc import Callable

from tests.conftest import Cli
from tests.datasets.balanced import BalancedGlyphs


def test_order_contains_every_class_equally_often() -> None:
    glyphs = BalancedGlyphs("train")
    rare = (glyphs.label != 3) | (glyphs.label.eq(3).cumsum(0) <= 20)
    glyphs.image, glyphs.label = glyphs.image[rare], glyphs.label[rare]
    order = glyphs.order(0, 0)
    largest = int(glyphs.label.bincount().max())
    assert Counter(glyphs.label[order].tolist()) == dict.fromkeys(range(10), largest)
    assert set(order) == set(range(len(glyphs)))  # no sample is left out
    threes = Counter(index for index in order if glyphs.label[index] == 3)
    assert max(threes.values()) - min(threes.values()) <= 1  # no sample is repeated before all others of its class


def test_order_depends_only_on_seed_and_epoch() -> None:
    orders = [BalancedGlyphs("train").order(seed, epoch) for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3


def test_balanced_glyphs_train(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny({"data": {"train": {"type": "tests.datasets.balanced.BalancedGlyphs", "split": "train"}}})
    assert cli("fit", "--config", config).code == 0
