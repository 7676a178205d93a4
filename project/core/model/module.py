"""The engine's LightningModules: the base of all, and the supervised one that most configs use."""

import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Literal

import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.optim import Optimizer

from project.core.config.pretrained import Pretrained
from project.core.config.terms import LossTerm, MetricTerm, NetTerm
from project.core.data.datamodule import metric_prefix
from project.core.data.tensors import Tensors, batch_size, describe_shapes
from project.core.errors import ConfigError, join_names
from project.core.model.ema import AveragedModule, Decay
from project.core.model.freezing import Freezing, freeze
from project.core.model.metrics import DatasetEvaluation, check_state
from project.core.model.optimization import Clip, Optimization, ParameterGroup
from project.core.model.outputs import name_tensors
from project.core.model.predictions import COLUMNS, prediction_columns
from project.core.model.preparation import Preparation
from project.core.model.training_log import TrainingLog
from project.core.model.wiring import NamedCall, WiredTerm, per_sample_columns, per_sample_once
from project.core.trackers import log_picture
from project.core.training.lightning_internals.access import log_immediately, should_log
from project.registry import Transform

_RESERVED = ("sum", "visual", "index", "name", *COLUMNS)  # other logged values, and columns of samples.csv


class BaseModule(AveragedModule):
    """Base of LightningModules: gradient clipping that depends on the epoch, an average of the weights, fast logging.

    Args:
        clip: gradient clipping; null disables.
        ema: decay of an exponential moving average of the weights, which is validated, saved and tested in their place.

    Example::

        class GAN(BaseModule):
            def training_step(self, batch, batch_idx):
                ...
                if self.should_log:
                    self.log_immediately({"train/loss": loss.detach()})
    """

    def __init__(self, clip: Clip | None = None, ema: Decay | None = None) -> None:
        super().__init__(ema)
        self.clip = clip or Clip()

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of the optimizer's parameters; in manual optimization, call it before the step."""
        value = self.clip.value_at(self.current_epoch)
        if value > 0:
            self.clip_gradients(optimizer, value, self.clip.algorithm)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Set gradients to None; faster than torch's own `zero_grad`, which also writes a record for the profiler."""
        if type(optimizer).zero_grad is not Optimizer.zero_grad:
            optimizer.zero_grad()
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @property
    def should_log(self) -> bool:
        """Whether the current training batch is logged (`trainer.log_every_n_steps`)."""
        return should_log(self.trainer)

    def log_immediately(self, values: Tensors) -> None:
        """Log scalars of the current training batch to loggers and callbacks; much faster than `log_dict`."""
        log_immediately(self, values)


class SupervisedModule(BaseModule):
    """A net with weighted losses and metrics, wired by the names of their tensors.

    Args:
        net: the net.
        loss: losses by name; their weighted sum is minimized.
        metric: metrics by name.
        optimizer: any class of torch.optim.
        scheduler: any class of torch.optim.lr_scheduler, WarmupCosine, Poly or Warmup.
        interval: whether the scheduler steps after each optimizer step or each epoch.
        groups: parameters with a learning rate or weight decay of their own, or frozen.
        ema: decay of an exponential moving average of the weights, which is validated, saved and tested in their place.
        clip: gradient clipping.
        compile: compile the net with torch.compile.
        channels_last: store the weights of 2d convolutions in the memory format channels_last.
        prepare: transforms of a batch by name, for the net only: losses, metrics and visuals see the dataset's tensors.
        train_metrics: whether `train/` values are of single batches or whole epochs. Metrics of torchmetrics are then
            updated at each batch, and wait for the GPU unless they have `validate_args: false`.
        pretrained: weights that a new run starts with.
    """

    def __init__(
        self,
        net: NetTerm,
        optimizer: OptimizerCallable,
        loss: dict[str, LossTerm] | None = None,
        metric: dict[str, MetricTerm] | None = None,
        scheduler: LRSchedulerCallable | None = None,
        interval: Literal["step", "epoch"] = "epoch",
        groups: list[ParameterGroup] | None = None,
        ema: Decay | None = None,
        clip: Clip | None = None,
        compile: bool = False,
        channels_last: bool = False,
        prepare: dict[str, Transform] | None = None,
        train_metrics: Literal["step", "epoch"] = "step",
        pretrained: Pretrained | None = None,
    ) -> None:
        super().__init__(clip, ema)
        loss, metric = loss or {}, metric or {}
        _check_names(loss, metric)
        if loss and not any(term.weight for term in loss.values()):
            raise ConfigError("model.loss: each loss has the weight 0, so that nothing is trained")
        self.prepare = Preparation(prepare) if prepare else None
        self.net, self.output = net.net, net.output
        self.losses = nn.ModuleDict({name: term.loss for name, term in loss.items()})
        self.optimization = Optimization(optimizer, scheduler, interval, groups or [])
        self.compile_net, self.channels_last, self.pretrained = compile, channels_last, pretrained
        self.call_net = NamedCall(self.net, "forward", "model.net", net.inputs)
        self.call_predict = NamedCall(self.net, "predict", "model.net") if hasattr(self.net, "predict") else None
        self.loss_terms = {
            name: WiredTerm(term.loss, "forward", f"model.loss.{name}", term.inputs, term.weight)
            for name, term in loss.items()
        }
        self.metric_terms = {
            name: WiredTerm(term.metric, "update", f"model.metric.{name}", term.inputs) for name, term in metric.items()
        }
        for wired in self.metric_terms.values():
            check_state(wired)
        if fitted := {name: term.metric for name, term in metric.items() if hasattr(term.metric, "fit_to")}:
            self.fitted_metrics = nn.ModuleDict(fitted)  # saved in checkpoints
        scalars = {name: term for name, term in self.metric_terms.items() if not hasattr(term.component, "picture")}
        self.training_log = TrainingLog(train_metrics, [*loss], scalars)
        self.evaluations: list[DatasetEvaluation] = []

    def setup(self, stage: str) -> None:
        """Freeze parameters; set the net's memory format and compile it, in place: its parameters keep their names."""
        warnings.filterwarnings("ignore", ".*sync_dist=True.*")  # the values were gathered from all processes
        freeze(self, self.optimization.groups)
        if self.channels_last:
            self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.compile_net:
            self.net.compile()

    def configure_optimizers(self) -> Any:
        return self.optimization.configure(self, clips=self.clip.is_active)

    def configure_callbacks(self) -> list[Callback]:
        return [*super().configure_callbacks(), Freezing(self.optimization.groups)]

    def forward(self, batch: Tensors) -> Tensors:
        """Return the net's output, a dict of named tensors."""
        returned = self.call_net(self.prepare(batch) if self.prepare else batch, {})
        return name_tensors(returned, self.output, type(self.net).__name__)

    def loss_values(self, batch: Tensors, output: Tensors) -> Tensors:
        """Return each loss by name, and their weighted sum as `sum`."""
        values: Tensors = {}
        weighted = []
        for name, term in self.loss_terms.items():
            value = term.call(batch, output)
            parts = (
                {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {name: value}
            )
            for part, loss in parts.items():
                if not (isinstance(loss, Tensor) and loss.ndim == 0):
                    got = describe_shapes({part: loss})
                    raise ConfigError(f"{term.path} ({term.call.owner}) returns {got}; it must be a scalar tensor")
                # No multiplication by 1, and no sum of a single loss: each would take as long as a small loss.
                weighted.append(loss if term.weight == 1 else term.weight * loss)
            values |= parts
        return values | {"sum": sum(weighted[1:], weighted[0])}

    def on_train_start(self) -> None:
        self.training_log.start(self.trainer, self.device)

    def training_step(self, batch: Tensors, batch_idx: int) -> dict[str, Any]:
        output = self(batch)
        losses = self.loss_values(batch, output)
        detached = {name: value.detach() for name, value in output.items() if isinstance(value, Tensor)}
        self.training_log.add(self, batch, detached, losses)
        return {"loss": losses["sum"], "output": detached}

    def on_train_epoch_end(self) -> None:
        self.log_dict(self.training_log.end_epoch())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        self.training_log.save(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.training_log.load(checkpoint)

    def on_validation_epoch_start(self) -> None:
        self.reset_evaluations(len(self.trainer.num_val_batches))

    def on_test_epoch_start(self) -> None:
        self.reset_evaluations(len(self.trainer.num_test_batches))

    def validation_step(self, batch: Tensors, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        return self._evaluate(batch, dataloader_idx, needs_columns=self.trainer.state.fn == "validate")

    def test_step(self, batch: Tensors, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        return self._evaluate(batch, dataloader_idx, needs_columns=True)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.compute_evaluations("val"))

    def on_test_epoch_end(self) -> None:
        self.log_dict(self.compute_evaluations("eval"))

    def predict_step(self, batch: Tensors, batch_idx: int, dataloader_idx: int = 0) -> Tensors:
        """Return the result of the net's `predict`, or its output if it has no such method."""
        if batch_size(batch) == 0:
            return {}
        output = self(batch)
        return self._predict(output)

    def value_names(self) -> list[str]:
        """Return the names of the losses, their sum, and the metrics that are scalars, as they are logged."""
        return [*self.loss_terms, "sum", *self.training_log.terms]

    def reset_evaluations(self, num_datasets: int) -> None:
        """Start an evaluation for each of `num_datasets` datasets."""
        if len(self.evaluations) != num_datasets:
            self.evaluations = [DatasetEvaluation(self.metric_terms, self.device) for _ in range(num_datasets)]
        for evaluation in self.evaluations:
            evaluation.reset()

    def compute_evaluations(self, split: str) -> Tensors:
        """Return means of losses, and metrics, of a split (val, eval) by logged name; log pictures."""
        values: Tensors = {}
        for i, evaluation in enumerate(self.evaluations):
            prefix, computed = metric_prefix(self.trainer, split, i), evaluation.compute()
            if not computed and evaluation.has_empty_batches and not self.trainer.sanity_checking:
                raise ConfigError(f"data.{prefix.replace('/', '.')}: `collate` dropped all samples of the evaluation")
            values |= {f"{prefix}/{name}": value for name, value in computed.items()}
            if self.trainer.loggers and self.trainer.is_global_zero and not self.trainer.sanity_checking:
                for name, picture in evaluation.pictures().items():
                    log_picture(self.trainer, f"{prefix}/{name}", picture)
        return values

    def _evaluate(self, batch: Tensors, dataloader_idx: int, needs_columns: bool) -> dict[str, Any]:
        """Add a batch to its evaluation; return the output and, for samples.csv, the values per sample."""
        evaluation = self.evaluations[dataloader_idx]
        if batch_size(batch) == 0:
            evaluation.has_empty_batches = True  # this process has none of the last samples, or all were dropped
            return {}
        output = self(batch)
        terms = self.loss_terms | evaluation.terms
        with per_sample_once(terms.values()) if needs_columns else nullcontext():
            evaluation.add(batch, output, self.loss_values(batch, output))
            columns = per_sample_columns(terms, batch, output) if needs_columns else {}
        if not needs_columns:
            return {"output": output}
        predicted = prediction_columns(batch, self._predict(output), self.loss_terms, bool(self.call_predict))
        return {"output": output, "columns": predicted.values | columns, "tensors": predicted.tensors}

    def _predict(self, output: Tensors) -> Tensors:
        """Return the result of the net's `predict`, or its output if it has no such method."""
        if self.call_predict is None:
            return output
        prediction = self.call_predict({}, output)
        if not isinstance(prediction, Mapping):
            name = type(self.net).__name__
            raise ConfigError(f"model.net ({name}): `predict` returns a {type(prediction).__name__}; it must be a dict")
        return dict(prediction)


def _check_names(loss: Mapping[str, LossTerm], metric: Mapping[str, MetricTerm]) -> None:
    if not loss:
        raise ConfigError("model.loss is empty; it needs at least one loss, such as `cross_entropy: {}`")
    for name in (*loss, *metric):
        if "." in name or "/" in name or name in _RESERVED:
            reserved = join_names(_RESERVED)
            raise ConfigError(
                f"model: a loss or metric cannot be called '{name}' (no dots, no slashes, not {reserved})"
            )
    for name in loss.keys() & metric.keys():
        raise ConfigError(f"model: a loss and a metric are both called '{name}'; rename one and set its `type`")
