"""Learning-rate schedules that torch does not have, or that the yaml could not describe."""

import math
from typing import Annotated, Any

from annotated_types import Ge, Interval
from pytorch_lightning.cli import LRSchedulerCallable, ReduceLROnPlateau
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from project.core.errors import ConfigError

_AFTER = "_after"  # stored: the state of the scheduler after a Warmup


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


class Warmup(LRScheduler):
    """Linear warm-up to the first learning rate of another scheduler, which then has the rates that it has alone.

    Args:
        optimizer: given by the engine.
        length: length of the warm-up, in the unit of `model.interval` (epochs or steps).
        after: the scheduler after it; null keeps the learning rate. One without `total` takes the rest of the run;
            before a ReduceLROnPlateau, the monitored value must be logged from the start.
        start: factor of the first step, in [0, 1]; null means 1 / (length + 1), as in WarmupCosine.

    Example::

        model: {scheduler: {type: Warmup, length: 500, after: {type: CosineAnnealingLR, T_max: 9500}}, interval: step}
    """

    def __init__(
        self,
        optimizer: Optimizer,
        length: Annotated[int, Ge(1)],
        after: LRSchedulerCallable | None = None,
        start: Annotated[float, Interval(ge=0, le=1)] | None = None,
    ) -> None:
        self.length, self.start = length, 1 / (length + 1) if start is None else start
        # A list, as SequentialLR has, so that the engine finds the scheduler in the state.
        self._after = [after(optimizer)] if after else []
        self._first = [1.0 * group["lr"] for group in optimizer.param_groups]  # the product copies a tensor
        super().__init__(optimizer)

    @property
    def after(self) -> LRScheduler | ReduceLROnPlateau | None:
        """The scheduler after the warm-up."""
        return next(iter(self._after), None)

    @property
    def monitor(self) -> str | None:
        """The value that a ReduceLROnPlateau after the warm-up monitors."""
        return getattr(self.after, "monitor", None)

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each parameter group in the warm-up, and at its end."""
        if self.last_epoch >= self.length:
            return self._first
        factor = self.start + (1 - self.start) * self.last_epoch / self.length
        return [factor * first for first in self._first]

    def step(self, metric: Any = None) -> None:
        """Step the warm-up; after it, the other scheduler, a ReduceLROnPlateau with the monitored value."""
        if self.after is None or self.last_epoch < self.length:
            super().step()
            return
        self.after.step(*() if metric is None else (metric,))
        self.last_epoch += 1
        self._last_lr = self.after.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with that of the other scheduler."""
        return super().state_dict() | {_AFTER: [scheduler.state_dict() for scheduler in self._after]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state."""
        for scheduler, state in zip(self._after, state_dict[_AFTER], strict=True):
            scheduler.load_state_dict(state)
        super().load_state_dict({key: value for key, value in state_dict.items() if key != _AFTER})


class SequentialLR(lr_scheduler.SequentialLR):
    """Schedulers one after another: torch's class, which gets its schedulers from the yaml.

    One without `total` takes the length until the next scheduler starts, or until the end of the run.

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
        if [0, *milestones] != sorted({0, *milestones}):
            raise ConfigError(f"model.scheduler.milestones is {milestones}; they must be at least 1 and increase")
        built = [build(optimizer) for build in schedulers]
        if any(isinstance(scheduler, Warmup) for scheduler in built[1:]):
            raise ConfigError("model.scheduler.schedulers: a Warmup must be the first; it knows no other learning rate")
        if built and getattr(built[0], "monitor", None) is not None:
            raise ConfigError("model.scheduler.schedulers: none can be a ReduceLROnPlateau, nor a Warmup before one")
        super().__init__(optimizer, built, milestones)
        self.parts = [*zip([0, *milestones], built, strict=True)]  # when each starts

    def state_dict(self) -> dict[str, Any]:
        """Return the state, which contains those of the schedulers."""
        return {key: value for key, value in super().state_dict().items() if key != "parts"}


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
            if isinstance(scheduler, Schedule | Warmup):
                raise ConfigError(
                    f"model.scheduler.schedulers.{number} ({type(scheduler).__name__}) computes the learning rate from "
                    "the first one, not from the previous one; use a SequentialLR"
                )
        super().__init__(built, optimizer)  # torch refuses a ReduceLROnPlateau
