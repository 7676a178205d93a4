"""Length of a run in epochs and optimizer steps, and schedules that take it."""

import math
from collections.abc import Callable
from typing import Literal

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import GradientAccumulationScheduler

from project.core.errors import ConfigError
from project.core.model.schedulers import Schedule, SequentialLR, Warmup

Interval = Literal["step", "epoch"]


class EpochSteps:
    """Optimizer steps of the epochs of a run, also if a GradientAccumulationScheduler changes their number.

    Args:
        trainer: a trainer that has counted its batches.

    Example::

        EpochSteps(trainer).before(2)  # the number of steps in the first two epochs
    """

    def __init__(self, trainer: pl.Trainer) -> None:
        self.batches = trainer.num_training_batches
        scheduling = {0: trainer.accumulate_grad_batches}
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, GradientAccumulationScheduler):
                scheduling = callback.scheduling
        firsts = sorted(scheduling)
        self._parts = [
            (first, end, scheduling[first]) for first, end in zip(firsts, [*firsts[1:], math.inf], strict=True)
        ]

    @property
    def fewest(self) -> float:
        """The number of steps with all their batches in the epoch that has the fewest; at least 1."""
        return max(1, self.batches / max(accumulated for _, _, accumulated in self._parts))

    def before(self, epoch: float, batch: float = 0) -> float:
        """Return the number of steps before an epoch, counted from 0, and after the first batches of it."""
        steps: float = 0
        for first, end, accumulated in self._parts:
            steps += max(0, min(epoch, end) - first) * math.ceil(self.batches / accumulated)
            if first <= epoch < end:
                steps += batch // accumulated if batch < self.batches else math.ceil(batch / accumulated)
        return steps

    def epochs(self, steps: float) -> float:
        """Return the number of epochs with the first `steps` steps, of which the last may not be whole."""
        for first, end, accumulated in self._parts:
            per_epoch = math.ceil(self.batches / accumulated)
            if steps <= (end - first) * per_epoch:
                return first + math.ceil(steps / per_epoch)
            steps -= (end - first) * per_epoch
        raise AssertionError("the last part has no end")


def log_interval(trainer: pl.Trainer) -> int:
    """Return after how many steps training values are logged; at most an epoch, or a short one would have none."""
    return int(min(trainer.log_every_n_steps, EpochSteps(trainer).fewest))  # type: ignore[attr-defined]


def run_length(trainer: pl.Trainer, interval: Interval) -> float:
    """Return the length of the run, which ends at `max_epochs` or `max_steps`; infinite if it is not known.

    Args:
        trainer: a trainer whose data module is attached.
        interval: unit of the length.
    """
    epochs = math.inf if trainer.max_epochs in (None, -1) else float(trainer.max_epochs or 0)
    steps = math.inf if trainer.max_steps == -1 else float(trainer.max_steps)
    if interval == "epoch" and steps == math.inf:
        return epochs
    if interval == "step" and epochs == math.inf:
        return steps
    trainer.fit_loop.setup_data()  # counts the batches; Lightning would do so after the optimizers are built
    if trainer.num_training_batches == math.inf:  # an iterable dataset without a length
        return steps if interval == "step" else math.inf
    of_epochs = EpochSteps(trainer)
    if interval == "step":
        return min(steps, of_epochs.before(max(epochs, 1)))
    return min(epochs, of_epochs.epochs(steps))


def set_totals(
    scheduler: object, get_length: Callable[[], float], interval: Interval, start: int = 0, end: int | None = None
) -> None:
    """Set `total` of the schedules without one, also in a Warmup or SequentialLR: the rest of the run.

    A warm-up that is not over when the run ends is warned of.

    Args:
        scheduler: the scheduler.
        get_length: returns the length of the run; infinite if it is not known.
        interval: unit of the length.
        start: when the scheduler starts.
        end: when another one follows it; None at the end of the run.
    """
    if isinstance(scheduler, SequentialLR):
        last_start = start + scheduler.parts[-1][0]
        if 0 < last_start >= (length := get_length() if end is None else end):
            name = type(scheduler.parts[-1][1]).__name__
            logger.warning(
                f"model.scheduler: {name} never starts: its milestone is {last_start} {interval}s, and the run has "
                f"{length:.0f}"
            )
        ends = [*(start + first for first, _ in scheduler.parts[1:]), end]
        for (first, part), last in zip(scheduler.parts, ends, strict=True):
            set_totals(part, get_length, interval, start + first, last)
        return
    if not isinstance(scheduler, Schedule | Warmup):
        return
    name, total = type(scheduler).__name__, getattr(scheduler, "total", None)
    if total is None:
        total = (get_length() if end is None else end) - start
    if isinstance(scheduler, Warmup):
        warmup = scheduler.length
        if scheduler.after is not None:
            set_totals(scheduler.after, get_length, interval, start + warmup, end)
    else:
        warmup = scheduler.warmup
        if scheduler.total is None and total == math.inf:
            raise ConfigError(
                f"model.scheduler needs `total`, in {interval}s, because the length of the run is not known "
                "(it depends on trainer.max_epochs and max_steps, and on the number of batches)"
            )
        scheduler.total = int(total)
    if 0 < warmup >= total:
        logger.warning(
            f"model.scheduler: the warm-up of {name} takes {warmup} {interval}s, but {max(0, total):.0f} are left"
        )
