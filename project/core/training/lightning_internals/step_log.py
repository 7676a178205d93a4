"""Logging at the number of optimizer steps done: the step of checkpoints, pictures and `trainer.global_step`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import LearningRateMonitor

from project.core.training.lightning_internals.access import should_log
from project.core.training.lightning_internals.names import Feature, is_available


class StepLog:
    """What a trainer logs without a step of its own goes to the loggers at the number of optimizer steps done.

    Lightning counts batches instead, from 0: its points of a step have the number of the step before, and with two
    optimizers another number than the checkpoint. What is logged within a training batch is collected and logged
    after it, as one point, because in manual optimization only then the number is known.

    Args:
        trainer: its logger connector logs here from now on.
    """

    def __init__(self, trainer: pl.Trainer) -> None:
        self.trainer = trainer
        self._collected: dict[str, Any] | None = None  # None outside a training batch
        if is_available(Feature.STEP_LOGGING):
            connector = trainer._logger_connector
            self._log_metrics = connector.log_metrics
            connector.log_metrics = self.log  # type: ignore[method-assign]

    def log(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Log values; `step`, as argument or logged value, has precedence as in Lightning."""
        if step is not None or "step" in metrics:
            self._log_metrics(metrics, step)
        elif self._collected is not None:
            self._collected |= metrics
        else:
            self._log_now(metrics)

    @contextmanager
    def training_batch(self) -> Iterator[None]:
        """Collect what is logged in the `with` block, and log it after it."""
        collected: dict[str, Any] = {}
        self._collected = collected
        try:
            yield
        finally:
            self._collected = None
        if collected:
            self._log_now(collected)

    def _log_now(self, metrics: dict[str, Any]) -> None:
        if metrics:
            self._log_metrics({"epoch": self.trainer.current_epoch} | metrics, self.trainer.global_step)


class LearningRates(LearningRateMonitor):
    """LearningRateMonitor that logs the learning rates of a step with the other values of the step."""

    def __init__(self) -> None:
        super().__init__(logging_interval="step")

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        if not is_available(Feature.STEP_LOGGING):
            super().on_train_batch_start(trainer, *args, **kwargs)
        elif should_log(trainer):
            trainer._logger_connector.log_metrics(self._extract_stats(trainer, "any"))  # type: ignore[arg-type]


def learning_rates(trainer: pl.Trainer) -> dict[str, float]:
    """Return the learning rates of all optimizers by the names of their curves; of each parameter group."""
    names, configs = LearningRates(), trainer.lr_scheduler_configs
    scheduled, seen, types = names._find_names_from_schedulers(configs)
    others, optimizers = names._find_names_from_optimizers(trainer.optimizers, seen, types)
    rates: dict[str, float] = {}
    for optimizer, found in zip(
        [*(config.scheduler.optimizer for config in configs), *optimizers], [*scheduled, *others], strict=True
    ):
        rates |= {name: float(group["lr"]) for name, group in zip(found, optimizer.param_groups, strict=False)}
    return rates
