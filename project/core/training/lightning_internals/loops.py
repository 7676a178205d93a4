"""Lightning's loops, changed so that a resumed run is exact."""

import math
from collections.abc import Callable, Collection

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.fit_loop import _FitLoop
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop

from project.core.errors import ConfigError, join_names
from project.core.training.lightning_internals.fetching import LookAheadFetcher, needs_look_ahead
from project.core.training.lightning_internals.names import Feature, is_available
from project.core.training.lightning_internals.skipping import SkippingStep
from project.core.training.lightning_internals.step_log import StepLog

AfterBatch = Callable[[pl.Trainer, bool], None]


class FitLoop(_FitLoop):
    """Loop over epochs. A run resumed after its last step still does what follows that step, such as a validation.

    Args:
        trainer: its `fit_loop` is replaced by this one.
        after_batch: called after each training batch, with whether a validation follows.
        step_log: logs what is logged within a batch.
        skipped: optimizer steps that are left out.
    """

    def __init__(
        self, trainer: pl.Trainer, after_batch: AfterBatch, step_log: StepLog, skipped: Collection[int] = ()
    ) -> None:
        old = trainer.fit_loop
        super().__init__(trainer, old.min_epochs, old.max_epochs)
        self.epoch_loop = EpochLoop(trainer, old.min_steps, old.max_steps, after_batch, step_log, skipped)

    def setup_data(self) -> None:
        before = self._data_fetcher
        super().setup_data()
        fetcher = self._data_fetcher
        if self.max_batches == 0:
            raise _no_batch(self.trainer.current_epoch)  # Lightning would end the run
        if fetcher is not None and fetcher is not before and needs_look_ahead(fetcher):
            self._data_fetcher = LookAheadFetcher(fetcher, self.epoch_loop)

    def run(self) -> None:
        if self.is_resuming and self._data_fetcher is not None:
            # `estimated_stepping_batches` started the loaders before the checkpoint's progress was restored.
            self._data_fetcher.teardown()
            self._combined_loader = None
        super().run()
        self._warn_of_unreached_steps()

    def on_run_start(self) -> None:
        trainer = self.trainer
        if trainer.enable_validation and trainer.val_dataloaders is None:
            # Lightning waits for the first epoch with a validation, and with it a mistake in the data would.
            trainer.validating = True
            self.epoch_loop.val_loop.setup_data()
            trainer.training = True
        super().on_run_start()

    def on_advance_start(self) -> None:
        super().on_advance_start()
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            # Lightning does not call its hook in an epoch that is resumed.
            if isinstance(callback, GradientAccumulationScheduler):
                callback.on_train_epoch_start(self.trainer)

    @property
    def done(self) -> bool:
        return not self.epoch_loop.restarting and super().done

    def _warn_of_unreached_steps(self) -> None:
        done = self.epoch_loop.global_step
        later = [str(step) for step in self.epoch_loop.skipped if step > done]
        if later and self.trainer.is_global_zero:
            logger.warning(f"skip_steps has {join_names(later)}, but the training ended after step {done}")


class EpochLoop(_TrainingEpochLoop):
    """Loop over the batches of an epoch.

    When Lightning's own loop is resumed, it skips the validation that follows the batch after which the checkpoint
    was saved, or the end of the epoch. Here checkpoints are saved in `after_batch`: all values of the batch are
    logged, and nothing that follows has begun. A resumed run continues at that point.
    """

    def __init__(
        self,
        trainer: pl.Trainer,
        min_steps: int | None,
        max_steps: int,
        after_batch: AfterBatch,
        step_log: StepLog,
        skipped: Collection[int] = (),
    ) -> None:
        super().__init__(trainer, min_steps, max_steps)
        self._after_batch, self._step_log = after_batch, step_log
        self.skipped = sorted(skipped)
        self.skip_hooks: list[Callable[[object], None]] = []  # called with each batch that is left out, on the CPU
        self._epoch_validates: bool | None = None  # None outside an epoch
        self._validates_now = False
        self._has_warned = False
        self._step: Callable[[_DataFetcher], None] = super().advance

    @property
    def done(self) -> bool:
        return not self.restarting and super().done

    def run(self, data_fetcher: _DataFetcher) -> None:
        try:
            super().run(data_fetcher)
        finally:
            self._epoch_validates = None

    def reset(self) -> None:
        if not self.restarting:
            super().reset()

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        super().on_run_start(data_fetcher)
        self._epoch_validates = super()._should_check_val_epoch()
        step = self._fast_step(data_fetcher) or super().advance
        self._step = SkippingStep(self, step, self.skipped, self.skip_hooks) if self.skipped else step

    def advance(self, data_fetcher: _DataFetcher) -> None:
        # A validation is not resumed, but runs again from its first batch.
        self.val_loop.restarting = False
        if self.restarting:  # the batch was trained on before the checkpoint was saved
            self.trainer.fit_loop._restarting = False
        else:
            self._train_batch(data_fetcher)

    def on_advance_end(self, data_fetcher: _DataFetcher) -> None:
        self._validates_now = super()._should_check_val_fx(data_fetcher)
        progress = self.batch_progress
        if progress.is_last_batch and progress.current.ready < self.trainer.num_training_batches:
            self._warn_of_early_end()
            self._validates_now |= self._validates_at_early_end()
        if not self.restarting:
            self._after_batch(self.trainer, self._validates_now and self._has_validation())
        super().on_advance_end(data_fetcher)

    def _train_batch(self, data_fetcher: _DataFetcher) -> None:
        try:
            with self._step_log.training_batch():
                self._step(data_fetcher)
        except StopIteration:
            if self.batch_progress.current.ready == 0:
                raise _no_batch(self.trainer.current_epoch) from None
            raise

    def _warn_of_early_end(self) -> None:
        """Warn once if fewer batches came than were announced."""
        announced = self.trainer.num_training_batches
        if announced != math.inf and not self._has_warned:
            self._has_warned = True
            logger.warning(
                f"data.train ended after {self.batch_progress.current.ready} of {announced} batches, and with it the "
                "epoch; schedules over the whole run were planned for more steps"
            )

    def _validates_at_early_end(self) -> bool:
        """Return whether a validation would follow the last batch of the epoch if its number had been announced."""
        interval, ready = self.trainer.val_check_interval, self.batch_progress.current.ready
        by_batch = self.trainer.check_val_every_n_epoch is not None and isinstance(interval, int | float)
        if not by_batch or not self._should_check_val_epoch():
            return False
        every = interval if isinstance(interval, int) else max(1, int(ready * interval))
        return ready < every or ready % every == 0

    def _fast_step(self, data_fetcher: _DataFetcher) -> Callable[[_DataFetcher], None] | None:
        if not is_available(Feature.FAST_STEPS):
            return None
        from project.core.training.lightning_internals.fast_steps import TrainingStep, supports_fast_step

        return TrainingStep(self) if supports_fast_step(self, data_fetcher) else None

    def _has_validation(self) -> bool:
        self.val_loop.setup_data()
        return not self.val_loop.skip

    def _should_check_val_epoch(self) -> bool:
        """Return whether the epoch has a validation; computed once per epoch, not at each batch."""
        return super()._should_check_val_epoch() if self._epoch_validates is None else self._epoch_validates

    def _should_check_val_fx(self, data_fetcher: _DataFetcher) -> bool:
        """Return whether a validation follows; computed once per batch, so that all callers get the same answer."""
        return self._validates_now

    def _broadcast_sigterm_tensor(self) -> None:
        """Do nothing: Lightning waits here for rank 0 at each batch; `after_batch` handles signals."""


def _no_batch(epoch: int) -> ConfigError:
    return ConfigError(
        f"data.train has no batch in epoch {epoch + 1}\n"
        "Lower data.batch_size or data.num_workers, since each worker drops an incomplete last batch; an iterable "
        "dataset must start again in each epoch"
    )
