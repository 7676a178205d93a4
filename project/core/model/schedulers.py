"""Learning-rate schedules that torch does not have, or that the yaml could not describe."""

import math
from typing import Annotated

from annotated_types import Ge, Interval
from pytorch_lightning.cli import LRSchedulerCallable
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from project.core.errors import ConfigError


class Schedule(LRScheduler):
    """Base of schedules in closed form: the learning rate is `factor()` times that of the optimizer.

    Args:
        optimizer: the optimizer.
        total: length of the schedule, in epochs or steps.
        warmup: length of the linear warm-up in it.
    """

    def __init__(self, optimizer: Optimizer, total: int | None, warmup: int) -> None:
        self.total, self.warmup = total, warmup
        super().__init__(optimizer)

    def factor(self) -> float:
        """Return the factor: from 0 to 1 during the warm-up, then `decay`."""
        if self.last_epoch < self.warmup:
            return (self.last_epoch + 1) / (self.warmup + 1)
        rest = max(1, (self.total or 0) - self.warmup)
        return self.decay(min(1.0, (self.last_epoch - self.warmup) / rest))

    def decay(self, done: float) -> float:
        """Return the factor after the warm-up, for the share `done` in [0, 1] of the rest."""
        raise NotImplementedError

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each parameter group."""
        return [base_lr * self.factor() for base_lr in self.base_lrs]


class WarmupCosine(Schedule):
    """Linear warm-up, then half a cosine (Loshchilov and Hutter, SGDR, 2017, without restarts).

    Args:
        optimizer: given by the engine.
        total: length, in the unit of `model.interval` (epochs or steps); null takes the whole run.
        warmup: length of the warm-up, in the same unit.
        final: factor at the end, in [0, 1].

    Example::

        model: {scheduler: {type: WarmupCosine, warmup: 500}, interval: step}
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total: Annotated[int, Ge(1)] | None = None,
        warmup: Annotated[int, Ge(0)] = 0,
        final: Annotated[float, Interval(ge=0, le=1)] = 0.0,
    ) -> None:
        self.final = final
        super().__init__(optimizer, total, warmup)

    def decay(self, done: float) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2


class Poly(Schedule):
    """Linear warm-up, then `(1 - done) ** power` (as in Chen et al., DeepLab, 2017).

    Args:
        optimizer: given by the engine.
        total: length, in the unit of `model.interval` (epochs or steps); null takes the whole run.
        power: exponent; 1 is linear.
        warmup: length of the warm-up, in the same unit.

    Example::

        model: {scheduler: {type: Poly, power: 0.9}}
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total: Annotated[int, Ge(1)] | None = None,
        power: Annotated[float, Ge(0)] = 0.9,
        warmup: Annotated[int, Ge(0)] = 0,
    ) -> None:
        self.power = power
        super().__init__(optimizer, total, warmup)

    def decay(self, done: float) -> float:
        return float((1 - done) ** self.power)


class SequentialLR(lr_scheduler.SequentialLR):
    """Schedulers one after another: torch's class, which gets its schedulers from the yaml.

    Args:
        optimizer: given by the engine.
        schedulers: the schedulers.
        milestones: lengths, in the unit of `model.interval`, after which the second and each further scheduler starts.

    Example::

        model:
          scheduler:
            type: SequentialLR
            schedulers: [{type: LinearLR, total_iters: 5}, {type: CosineAnnealingLR, T_max: 95}]
            milestones: [5]
    """

    def __init__(self, optimizer: Optimizer, schedulers: list[LRSchedulerCallable], milestones: list[int]) -> None:
        built = [build(optimizer) for build in schedulers]
        for number, scheduler in enumerate(built):
            if isinstance(scheduler, Schedule) and scheduler.total is None:
                raise ConfigError(
                    f"model.scheduler.schedulers.{number} ({type(scheduler).__name__}) needs `total`: only a scheduler "
                    "that is not in another one takes the length of the run"
                )
        super().__init__(optimizer, built, milestones)  # torch refuses a ReduceLROnPlateau


class ChainedScheduler(lr_scheduler.ChainedScheduler):
    """Schedulers that all change the learning rate at each step: torch's class, which gets them from the yaml.

    Args:
        optimizer: given by the engine.
        schedulers: the schedulers; each must compute the learning rate from the previous one.

    Example::

        model:
          scheduler:
            type: ChainedScheduler
            schedulers: [{type: ConstantLR, total_iters: 5}, {type: ExponentialLR, gamma: 0.9}]
    """

    def __init__(self, optimizer: Optimizer, schedulers: list[LRSchedulerCallable]) -> None:
        built = [build(optimizer) for build in schedulers]
        for number, scheduler in enumerate(built):
            if isinstance(scheduler, Schedule):
                raise ConfigError(
                    f"model.scheduler.schedulers.{number} ({type(scheduler).__name__}) computes the learning rate from "
                    "the first one, not from the previous one; use a SequentialLR"
                )
        super().__init__(built, optimizer)  # torch refuses a ReduceLROnPlateau
