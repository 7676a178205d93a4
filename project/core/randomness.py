"""Where random numbers come from: the run's seed, and the order of the samples."""

from collections.abc import Callable, Iterator

import pytorch_lightning
import torch
from torch.utils.data import Sampler, SequentialSampler

OrderFunction = Callable[[int, int], list[int]]


def seed_run(seed: int) -> None:
    """Seeds python, numpy and torch, in the workers too."""
    pytorch_lightning.seed_everything(seed, workers=True, verbose=False)


class ShuffledOrder(Sampler[int]):
    """The samples of an epoch in an order that depends on (seed, epoch) alone.

    Args:
        length: number of samples.
        seed: the run's seed.
        order: a dataset's own `order(seed, epoch) -> indices`.
    """

    def __init__(self, length: int, seed: int, order: OrderFunction | None = None) -> None:
        self.length, self.seed, self.order, self.epoch = length, seed, order, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.order is not None:
            return iter(self.order(self.seed, self.epoch))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(torch.randperm(self.length, generator=generator).tolist())

    def __len__(self) -> int:
        return len(self.order(self.seed, self.epoch)) if self.order is not None else self.length


class FrozenOrder(SequentialSampler):
    """The first epoch's order in every epoch, for `trainer.overfit_batches`: Lightning lets sequential samplers be."""

    def __init__(self, order: ShuffledOrder) -> None:
        super().__init__(order)
        self.order = order

    def __iter__(self) -> Iterator[int]:
        return iter(self.order)
