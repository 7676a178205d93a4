"""Evaluation during training, with the metrics of the stage `test`."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from loguru import logger
from pytorch_lightning.callbacks import Callback, WeightAveraging
from pytorch_lightning.utilities.model_helpers import is_overridden

from project.core.config.settings import EvaluationSettings
from project.core.config.terms import Visuals
from project.core.data.seeding import seed_step
from project.core.evaluation.results import ResultsWriter
from project.core.log import format_values
from project.core.model.ema import MovingAverage
from project.core.training.lightning_internals.averaging import copy_to_unstarted_averages

_EVAL = "eval"  # stored: the random numbers of an evaluation depend on this text


class PeriodicEvaluation(Callback):
    """Callback that evaluates on data.eval and writes RUN/eval/epoch_0002/, and RUN/eval/step_000000/ at the start.

    It does not change the training, because every step has a seed of its own.

    Args:
        settings: when to evaluate, and on how many samples.
        seed: seed of the run.
        directory: RUN/eval.
        visuals: they draw the first samples, whatever their period.
        config: the whole configuration as yaml.
        before_batch: called before each batch; raises if the run is to stop.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        seed: int,
        directory: Path,
        visuals: Visuals,
        config: str,
        before_batch: Callable[[pl.Trainer], None],
    ) -> None:
        self.settings, self.seed, self.directory, self.visuals = settings, seed, directory, visuals
        self.config, self.before_batch = config, before_batch

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        data.eval_dataloaders(self.settings.max_samples)  # a mistake in the data is found before the first step

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.settings.at_start:
            values = self._evaluate(trainer, pl_module, f"step_{trainer.global_step:06d}")
            logger.info(f"evaluation at step {trainer.global_step}   {format_values(values)}")
            for each in trainer.loggers:
                each.log_metrics(values, trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.settings.is_due(trainer.current_epoch):
            pl_module.log_dict(self._evaluate(trainer, pl_module, f"epoch_{trainer.current_epoch:04d}"))

    def _evaluate(self, trainer: pl.Trainer, module: Any, name: str) -> dict[str, float]:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        results = ResultsWriter(self.directory / name, self.visuals, self.config)
        loaders = data.eval_dataloaders(self.settings.max_samples)
        before_transfer = data if is_overridden("on_before_batch_transfer", data) else module
        with torch.no_grad(), _evaluated_weights(trainer, module):
            module.reset_evaluations(len(loaders))
            numbers = itertools.count()
            for index, loader in enumerate(loaders):
                for batch_idx, batch in enumerate(loader):
                    self.before_batch(trainer)
                    seed_step(trainer, self.seed, _EVAL, next(numbers))
                    batch = trainer.precision_plugin.convert_input(batch)
                    batch = before_transfer.on_before_batch_transfer(batch, index)
                    batch = trainer.strategy.batch_to_device(batch, dataloader_idx=index)
                    outputs = trainer.strategy.test_step(batch, batch_idx, index)
                    results.on_test_batch_end(trainer, module, outputs, batch, batch_idx, index)
            values = {key: float(value) for key, value in module.compute_evaluations("eval").items()}
        results.write(trainer, module, "eval", values)
        return values


@contextmanager
def _evaluated_weights(trainer: pl.Trainer, module: pl.LightningModule) -> Iterator[None]:
    """In the `with` block, use evaluation mode and the weights that `test` would load from a checkpoint saved now."""
    modes = {part: part.training for part in module.modules()}
    copy_to_unstarted_averages(trainer, module)
    with ExitStack() as stack:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, WeightAveraging):
                callback.on_validation_epoch_start(trainer, module)
                stack.callback(callback.on_validation_epoch_end, trainer, module)
            elif isinstance(callback, MovingAverage):
                callback.use_average()
                stack.callback(callback.use_trained)
        module.eval()
        yield
    for part, training in modes.items():
        part.training = training
