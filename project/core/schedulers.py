"""Learning-rate schedules that torch does not have."""

import math

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class Schedule(LRScheduler):
    """A schedule in closed form: the learning rate is `factor()` times the optimizer's."""

    def __init__(self, optimizer: Optimizer, total: int | None, warmup: int) -> None:
        self.total, self.warmup = total, warmup
        super().__init__(optimizer)

    def factor(self) -> float:
        """From 0 to 1 over the warm-up, then `decay` of the share of the rest that is done."""
        if self.last_epoch < self.warmup:
            return (self.last_epoch + 1) / (self.warmup + 1)
        rest = max(1, (self.total or 0) - self.warmup)
        return self.decay(min(1.0, (self.last_epoch - self.warmup) / rest))

    def decay(self, done: float) -> float:
        """The factor after the warm-up, for `done` in [0, 1]."""
        raise NotImplementedError

    def get_lr(self) -> list[float | Tensor]:
        """The learning rate of each parameter group."""
        return [base_lr * self.factor() for base_lr in self.base_lrs]


class WarmupCosine(Schedule):
    """Linear warm-up, then half a cosine (Loshchilov and Hutter, SGDR, 2017, without restarts).

    Args:
        optimizer: given by the engine.
        total: length in the unit of `model.interval` (epochs or steps); the whole run unless given.
        warmup: length of the warm-up, in the same unit.
        final: the factor at the end, in [0, 1].
    """

    def __init__(self, optimizer: Optimizer, total: int | None = None, warmup: int = 0, final: float = 0.0) -> None:
        self.final = final
        super().__init__(optimizer, total, warmup)

    def decay(self, done: float) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2


class Poly(Schedule):
    """Linear warm-up, then `(1 - done) ** power` (as in Chen et al., DeepLab, 2017).

    Args:
        optimizer: given by the engine.
        total: length in the unit of `model.interval` (epochs or steps); the whole run unless given.
        power: 1 falls in a straight line.
        warmup: length of the warm-up, in the same unit.
    """

    def __init__(self, optimizer: Optimizer, total: int | None = None, power: float = 0.9, warmup: int = 0) -> None:
        self.power = power
        super().__init__(optimizer, total, warmup)

    def decay(self, done: float) -> float:
        return float((1 - done) ** self.power)
