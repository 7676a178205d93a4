"""Optimizer steps that are left out (`skip_steps`): their batches are read, and change nothing."""

import warnings
from collections.abc import Callable, Collection

from loguru import logger
from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop


class SkippingStep:
    """Training step that leaves out some optimizer steps, and counts them as if they had been done.

    Of a batch that belongs to such a step, nothing is computed, no hook is called and nothing is logged; learning
    rates follow their schedules.

    Args:
        loop: the loop over the batches of an epoch.
        step: trains on the next batch.
        skipped: the optimizer steps, counted from 1.
        hooks: called with each batch that is left out, before it is counted; they change nothing.
    """

    def __init__(
        self,
        loop: _TrainingEpochLoop,
        step: Callable[[_DataFetcher], None],
        skipped: Collection[int],
        hooks: Collection[Callable[[object], None]],
    ) -> None:
        self.loop, self.step, self.skipped, self.hooks = loop, step, frozenset(skipped), hooks

    def __call__(self, data_fetcher: _DataFetcher) -> None:
        """Train on the next batch, or leave it out.

        Raises:
            StopIteration: there is no batch left, or a hook ends the epoch.
        """
        if self.loop.global_step + 1 in self.skipped:
            self._skip(data_fetcher)
        else:
            self.step(data_fetcher)

    def _skip(self, data_fetcher: _DataFetcher) -> None:
        loop, progress = self.loop, self.loop.batch_progress
        batch, _, _ = next(data_fetcher)
        progress.is_last_batch = data_fetcher.done
        progress.increment_ready()
        if batch is not None:  # without a batch, there would have been no step either
            for hook in self.hooks:
                hook(batch)
            progress.increment_started()
            if not loop._should_accumulate():
                self._count_step()
        progress.increment_processed()
        with warnings.catch_warnings():
            # torch warns of a schedule that is stepped before the optimizer, as if the order were wrong.
            warnings.filterwarnings("ignore", ".*`lr_scheduler.step\\(\\)` before `optimizer.step\\(\\)`")
            loop.update_lr_schedulers("step", update_plateau_schedulers=False)
            if loop._num_ready_batches_reached():
                loop.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        progress.increment_completed()

    def _count_step(self) -> None:
        steps = self.loop.automatic_optimization.optim_progress.optimizer.step
        steps.increment_ready()
        steps.increment_completed()
        if self.loop.trainer.is_global_zero:
            logger.info(f"step {self.loop.global_step} was left out (skip_steps)")
