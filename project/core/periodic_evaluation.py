"""Evaluation along the way: the figures of the stage `test`, while training."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, WeightAveraging

from project.core.randomness import seed_step
from project.core.results import Results
from project.core.settings import Evaluation
from project.core.wiring import VisualTerm


class PeriodicEvaluation(Callback):
    """Evaluates on data.eval and writes RUN/eval/epoch_0002/, and RUN/eval/step_000000/ at the start.

    It leaves no trace in the training: every step has a seed of its own.

    Args:
        settings: when, and on how many samples.
        seed: the run's seed.
        folder: RUN/eval.
        visual: draws the first samples.
        config: the whole configuration as yaml.
    """

    def __init__(self, settings: Evaluation, seed: int, folder: Path, visual: VisualTerm | None, config: str) -> None:
        self.settings, self.seed, self.folder, self.visual, self.config = settings, seed, folder, visual, config

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.settings.at_start:
            values = self._evaluate(trainer, pl_module, f"step_{trainer.global_step:06d}")
            for logger in trainer.loggers:
                logger.log_metrics(values, trainer.fit_loop.epoch_loop._batches_that_stepped)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.is_due(trainer):
            pl_module.log_dict(self._evaluate(trainer, pl_module, f"epoch_{trainer.current_epoch:04d}"))

    def is_due(self, trainer: pl.Trainer) -> bool:
        """Whether the end of this epoch is one at which it evaluates."""
        epochs = self.settings.every_n_epochs
        return epochs > 0 and (trainer.current_epoch + 1) % epochs == 0

    def _evaluate(self, trainer: pl.Trainer, module: Any, name: str) -> dict[str, float]:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        results = Results(self.folder / name, self.visual, self.config)
        hooks = [call for callback in trainer.checkpoint_callbacks if callable(call := callback.on_test_batch_start)]
        loaders = data.eval_dataloaders(self.settings.max_samples)
        with torch.no_grad(), _evaluated_weights(trainer, module):
            module.start_evaluations(len(loaders))
            numbers = itertools.count()
            for index, loader in enumerate(loaders):
                for number, batch in enumerate(loader):
                    for ends_if_asked in hooks:
                        ends_if_asked(trainer, module, batch, number, index)
                    seed_step(trainer, self.seed, "eval", next(numbers))
                    batch = trainer.precision_plugin.convert_input(batch)
                    batch = module._on_before_batch_transfer(batch, dataloader_idx=index)
                    batch = trainer.strategy.batch_to_device(batch, dataloader_idx=index)
                    outputs = trainer.strategy.test_step(batch, number, index)
                    results.on_test_batch_end(trainer, module, outputs, batch, number, index)
            values = {key: float(value) for key, value in module.finish_evaluations("eval").items()}
        results.write(trainer, module, "eval", values)
        return values


@contextmanager
def _evaluated_weights(trainer: pl.Trainer, module: pl.LightningModule) -> Iterator[None]:
    """The weights that a checkpoint of this moment has for `test`, in evaluation mode."""
    modes = {part: part.training for part in module.modules()}
    with ExitStack() as stack:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, WeightAveraging):
                callback.on_validation_epoch_start(trainer, module)
                stack.callback(callback.on_validation_epoch_end, trainer, module)
        module.eval()
        yield
    for part, training in modes.items():
        part.training = training
