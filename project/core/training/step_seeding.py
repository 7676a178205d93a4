"""Seeds of the steps of training and evaluation."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from project.core.data.seeding import (
    EPOCH_END,
    EPOCH_START,
    STEP,
    VALIDATION_START,
    batches_done,
    derive_seed,
    seed_step,
)
from project.core.training.lightning_internals.access import call_after_fetch
from project.core.training.lightning_internals.names import Feature, is_available

# Stored: the random numbers of a step depend on these texts.
_TRAIN, _VAL, _EVAL, _PREDICT = "train", "val", "eval", "predict"


class StepSeeds(Callback):
    """Callback that seeds every step after its batch was fetched, and the hooks around epochs.

    Args:
        seed: seed of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if is_available(Feature.STEP_SEEDS):
            # The hooks of a batch are called after its transfer to the device, in which augmentations may draw.
            self._seed_after_fetches(trainer)
        else:
            self._seed_in_hooks()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seed_step(trainer, self.seed, EPOCH_START, trainer.current_epoch)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seed_step(trainer, self.seed, VALIDATION_START, batches_done(trainer))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seed_step(trainer, self.seed, EPOCH_END, trainer.current_epoch)

    def _seed_after_fetches(self, trainer: pl.Trainer) -> None:
        def evaluation(stage: str, loop: Any) -> None:
            call_after_fetch(loop, lambda: seed_step(trainer, self.seed, stage, loop.batch_progress.current.ready))

        epoch_loop = trainer.fit_loop.epoch_loop
        call_after_fetch(epoch_loop, lambda: seed_step(trainer, self.seed, _TRAIN, batches_done(trainer)))
        evaluation(_VAL, epoch_loop.val_loop)
        evaluation(_VAL, trainer.validate_loop)
        evaluation(_EVAL, trainer.test_loop)
        evaluation(_PREDICT, trainer.predict_loop)

    def _seed_in_hooks(self) -> None:
        def training(trainer: pl.Trainer, *_: object) -> None:
            seed_step(trainer, self.seed, _TRAIN, batches_done(trainer))

        def evaluation(trainer: pl.Trainer, *_: object) -> None:
            stage = _EVAL if trainer.testing else _PREDICT if trainer.predicting else _VAL
            loop: Any = trainer.fit_loop.epoch_loop.val_loop if trainer.state.fn == "fit" else None
            loop = (
                loop or {_VAL: trainer.validate_loop, _EVAL: trainer.test_loop, _PREDICT: trainer.predict_loop}[stage]
            )
            seed_step(trainer, self.seed, stage, loop.batch_progress.current.ready - 1)

        # As attributes of the object: if the class had these hooks, they would always be called at each batch.
        hooks = ("on_validation_batch_start", "on_test_batch_start", "on_predict_batch_start")
        self.__dict__ |= {"on_train_batch_start": training} | dict.fromkeys(hooks, evaluation)


def training_seed(trainer: pl.Trainer) -> int:
    """Return the number with which `set_seed` was called for the current training batch of this process."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    seed = next(callback.seed for callback in callbacks if isinstance(callback, StepSeeds))
    return derive_seed(seed, STEP, _TRAIN, batches_done(trainer), trainer.global_rank)
