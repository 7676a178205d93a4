"""What a training logs as `train/NAME`: losses and metrics of single batches, or over each epoch."""

from collections.abc import Mapping
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from loguru import logger
from torch import Tensor
from torch.utils._pytree import tree_map_only
from torchmetrics import Metric

from project.core.data.tensors import Tensors
from project.core.errors import ConfigError, join_names
from project.core.model.metrics import DatasetEvaluation, Metrics
from project.core.model.wiring import WiredTerm
from project.core.training.lightning_internals.access import log_immediately, restore_metric, should_log

# Stored: the key in checkpoints, and the keys in it.
_KEY, _SUMS, _COUNTS, _METRICS = "training_log", "sums", "counts", "metrics"


class TrainingLog:
    """Losses and metrics of training batches: of single ones, or over each epoch and all processes.

    Checkpoints contain what each process added in an epoch that is not complete, so that a resumed run is exact:
    all predictions for metrics that keep them, such as AUROC without `thresholds`.

    Args:
        unit: step for the batches that are logged, epoch for all batches of an epoch.
        losses: names of the losses, for messages.
        terms: the metrics that are logged.
    """

    def __init__(self, unit: Literal["step", "epoch"], losses: list[str], terms: Mapping[str, WiredTerm]) -> None:
        self.is_over_epoch, self.losses, self.terms = unit == "epoch", losses, terms
        self._metrics: Metrics | None = None
        self._is_checked = False
        self._restored: list[dict[str, Any]] = []  # by process

    def start(self, trainer: pl.Trainer, device: torch.device) -> None:
        """Start, or continue the epoch of a checkpoint."""
        self._is_checked = False
        self._metrics = DatasetEvaluation(self.terms, device) if self.is_over_epoch else Metrics(self.terms, device)
        progress: Any = trainer.fit_loop.epoch_loop.batch_progress
        if self.is_over_epoch and progress.current.ready:
            own = self._restored[trainer.global_rank] if len(self._restored) == trainer.world_size else None
            if own is None or own[_METRICS].keys() != self._torchmetrics().keys():
                logger.warning("the train/ values of this epoch are those of its batches after the checkpoint")
            else:
                self._restore(tree_map_only(Tensor, lambda tensor: tensor.to(device, copy=True), own))
        self._restored = []

    def add(self, module: pl.LightningModule, batch: Tensors, output: Tensors, losses: Tensors) -> None:
        """Add a batch; the first one checks all names before any weight changes."""
        is_logged = self.is_over_epoch or should_log(module.trainer)
        if self._is_checked and not is_logged:
            return
        assert self._metrics is not None
        if not self._is_checked:
            self._metrics.check(batch)
        self._is_checked = True
        if not losses["sum"].requires_grad:
            raise ConfigError(
                f"model.loss: the sum of {join_names(self.losses)} has no gradient\n"
                "Remove what detaches it from the parameters, in the net or the losses: detach, item, no_grad, argmax"
            )
        with torch.no_grad():
            values = {name: value.detach() for name, value in losses.items()}
            if isinstance(self._metrics, DatasetEvaluation):
                self._metrics.add(batch, output, values)
                return
            self._metrics.reset()
            self._metrics.update(batch, output)
            values |= self._metrics.compute()
        if is_logged:
            log_immediately(module, _prefixed(values))

    def end_epoch(self) -> Tensors:
        """Return the values over the epoch by logged name, if there are any, and start the next epoch."""
        metrics, values = self._metrics, {}
        if isinstance(metrics, DatasetEvaluation) and metrics.means.sums:
            values = _prefixed(metrics.compute())
            metrics.reset()
        return values

    def save(self, checkpoint: dict[str, Any]) -> None:
        """Add the epoch that is not complete to a checkpoint; all processes must call it."""
        if not isinstance(self._metrics, DatasetEvaluation):
            return
        means = self._metrics.means
        own: dict[str, Any] = {
            _SUMS: means.sums,
            _COUNTS: means.counts,
            _METRICS: {name: [each.update_count, each.metric_state] for name, each in self._torchmetrics().items()},
        }
        parts = [own]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts = parts * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, tree_map_only(Tensor, Tensor.cpu, own))
        checkpoint[_KEY] = parts

    def load(self, checkpoint: Mapping[str, Any]) -> None:
        """Keep what `save` added to a checkpoint for `start`."""
        self._restored = checkpoint.get(_KEY, [])

    def _restore(self, own: dict[str, Any]) -> None:
        assert isinstance(self._metrics, DatasetEvaluation)
        self._metrics.means.sums, self._metrics.means.counts = own[_SUMS], own[_COUNTS]
        for name, metric in self._torchmetrics().items():
            restore_metric(metric, *own[_METRICS][name])

    def _torchmetrics(self) -> dict[str, Any]:
        """Return all metrics of torchmetrics, including those inside others, by name."""
        assert self._metrics is not None
        modules = {
            f"{name}.{path}": part
            for name, term in self._metrics.terms.items()
            for path, part in term.component.named_modules()
        }
        return {name: part for name, part in modules.items() if isinstance(part, Metric)}


def _prefixed(values: Tensors) -> Tensors:
    return {f"train/{name}": value for name, value in values.items()}
