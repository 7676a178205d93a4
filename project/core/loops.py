"""Lightning's loops, made to go on exactly where a checkpoint was written, and to lose no time."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loops.evaluation_loop import _EvaluationLoop
from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.fit_loop import _FitLoop
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop

from project.core.saving import Checkpoints
from project.core.steps import EvaluationStep, TrainingStep, is_plain


class FitLoop(_FitLoop):
    """The epochs. A run that is resumed behind its last step still does what comes after it, such as its validation.

    Args:
        trainer: the trainer, whose loop this replaces.
    """

    def __init__(self, trainer: pl.Trainer) -> None:
        old = trainer.fit_loop
        super().__init__(trainer, old.min_epochs, old.max_epochs)
        self.epoch_loop = EpochLoop(trainer, old.min_steps, old.max_steps)
        self.epoch_loop.val_loop = EvaluationLoop(old.epoch_loop.val_loop)

    def run(self) -> None:
        if self.is_resuming and self._data_fetcher is not None:
            # Whoever asked for the length of the run had the loaders begin before it was known where the run stands.
            self._data_fetcher.teardown()
            self._combined_loader = None
        super().run()

    @property
    def done(self) -> bool:
        return not self.epoch_loop.restarting and super().done


class EpochLoop(_TrainingEpochLoop):
    """The batches of an epoch.

    Lightning's own loop, resumed, skips the validation behind the batch that a checkpoint was written after, or the
    epoch's end. Here Checkpoints are written behind a batch, when all of it is logged and nothing of what follows has
    begun, and a resumed run takes up its work at that very place.
    """

    _may_validate: bool | None = None

    @property
    def done(self) -> bool:
        return not self.restarting and super().done

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        super().on_run_start(data_fetcher)
        self._may_validate = super()._should_check_val_epoch()
        self._step = TrainingStep(self) if is_plain(self, data_fetcher) else super().advance

    def run(self, data_fetcher: _DataFetcher) -> None:
        try:
            super().run(data_fetcher)
        finally:
            self._may_validate = None

    def _broadcast_sigterm_tensor(self) -> None:
        """Lightning would have all processes wait for the first, at each batch; Checkpoints see to signals."""

    def reset(self) -> None:
        if not self.restarting:
            super().reset()

    def advance(self, data_fetcher: _DataFetcher) -> None:
        if self.restarting:
            # The batch was done before. Nothing below is resumed: a validation begins anew, a plateau is looked for.
            self.val_loop.restarting = False
            self.trainer.fit_loop._restarting = False
        else:
            self.val_loop.restarting = False
            self._step(data_fetcher)

    def on_advance_end(self, data_fetcher: _DataFetcher) -> None:
        self._is_time = super()._should_check_val_fx(data_fetcher)
        if not self.restarting:
            validates = self._is_time
            if validates:
                self.val_loop.setup_data()  # which knows whether there are any validation sets
                validates = not self.val_loop.skip
            for callback in self.trainer.callbacks:
                if isinstance(callback, Checkpoints):
                    callback.after_batch(self.trainer, validates)
        super().on_advance_end(data_fetcher)

    def _should_check_val_epoch(self) -> bool:
        """Looked up once while an epoch's batches are trained on: Lightning does it at each."""
        return super()._should_check_val_epoch() if self._may_validate is None else self._may_validate

    def _should_check_val_fx(self, data_fetcher: _DataFetcher) -> bool:
        """Decided once per batch: what comes before and behind a validation must not differ about it."""
        return self._is_time


class EvaluationLoop(_EvaluationLoop):
    """The batches of an evaluation.

    Args:
        old: the loop that this replaces.
    """

    def __init__(self, old: _EvaluationLoop) -> None:
        super().__init__(old.trainer, old._trainer_fn, old._stage, old.verbose, old.inference_mode)

    def on_run_start(self) -> None:
        super().on_run_start()
        self._step = EvaluationStep(self) if is_plain(self, self._data_fetcher) else None

    def _evaluation_step(self, batch: Any, batch_idx: int, dataloader_idx: int, dataloader_iter: Any) -> None:
        if self._step is None:
            super()._evaluation_step(batch, batch_idx, dataloader_idx, dataloader_iter)
        else:
            self._step(batch, batch_idx, dataloader_idx)


def replace_loops(trainer: pl.Trainer) -> None:
    """Gives a trainer these loops instead of Lightning's own."""
    trainer.fit_loop = FitLoop(trainer)
    trainer.validate_loop, trainer.test_loop = EvaluationLoop(trainer.validate_loop), EvaluationLoop(trainer.test_loop)
