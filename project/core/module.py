"""The LightningModules of the engine: the base of all, and the supervised one that most yaml files use."""

import inspect
import warnings
from collections.abc import Mapping
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.optim import Optimizer

from project.core.datamodule import part_name
from project.core.errors import ConfigError, did_you_mean, listing
from project.core.evaluation import Evaluation, Metrics, batch_size
from project.core.optimization import Clip, Optimization, ParameterGroup, freeze
from project.core.records import tensorboards
from project.core.wiring import Inputs, LossTerm, MetricTerm, NetTerm, Tensors, Wire, shapes


class BaseModule(pl.LightningModule):
    """What every module shares: gradient clipping by epoch.

    Args:
        clip: gradient clipping; none unless given.
    """

    def __init__(self, clip: Clip | None = None) -> None:
        super().__init__()
        self.clip = clip or Clip()

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips the gradients of the optimizer's parameters; under manual optimization, call it before the step."""
        value = self.clip.at(self.current_epoch)
        if value > 0:
            self.clip_gradients(optimizer, value, self.clip.algorithm)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """What the optimizer does; torch's own is done here, without the record for a profiler around it."""
        if type(optimizer).zero_grad is not Optimizer.zero_grad:
            optimizer.zero_grad()
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @property
    def logs_now(self) -> bool:
        """Whether this training batch is one of those that are logged (`trainer.log_every_n_steps`)."""
        trainer = self.trainer
        return trainer._logger_connector.should_update_logs and not trainer.fit_loop._should_accumulate()

    def log_now(self, values: Tensors) -> None:
        """Logs values of this training batch, for all to see; `log_dict` would take a millisecond for each."""
        self.trainer.callback_metrics.update(values)
        self.trainer._logger_connector.log_metrics(values)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_current_fx_name":  # Lightning sets it around each hook, and torch would look at what it is
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


class SupervisedModule(BaseModule):
    """A net, weighted losses and metrics, wired by the names of their tensors.

    Args:
        net: the net.
        loss: losses by name; what is minimized is their weighted sum.
        metric: metrics by name.
        optimizer: any of torch.optim.
        scheduler: any of torch.optim.lr_scheduler, WarmupCosine or Poly.
        interval: whether the scheduler goes on by step or by epoch.
        groups: parameters with a learning rate or weight decay of their own, or frozen.
        clip: gradient clipping.
        compile: compile the net with torch.compile.
        channels_last: keep the weights of its 2d convolutions, and so what these make of pictures, channels last.
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
        clip: Clip | None = None,
        compile: bool = False,
        channels_last: bool = False,
    ) -> None:
        super().__init__(clip)
        loss, metric = loss or {}, metric or {}
        _check_names(loss, metric)
        self.net, self.output = net.net, net.output
        self.losses = nn.ModuleDict({name: term.loss for name, term in loss.items()})
        self.weights = {name: term.weight for name, term in loss.items()}
        self.optimization = Optimization(optimizer, scheduler, interval, groups or [])
        self.compile_net, self.channels_last = compile, channels_last
        self.metric_terms = metric
        self.call_net = Wire(self.net, "forward", "model.net", net.inputs)
        self.call_predict = Wire(self.net, "predict", "model.net") if hasattr(self.net, "predict") else None
        self.call_losses = {
            name: Wire(term.loss, "forward", f"model.loss.{name}", term.inputs) for name, term in loss.items()
        }
        self.columns = _per_sample_wires(loss, metric)
        self.train_metrics: Metrics | None = None
        self.wired = False
        self.evaluations: list[Evaluation] = []

    def setup(self, stage: str) -> None:
        """Freezes parameters, and makes the net fast in place: names and values stay as they are."""
        # What is logged is of all processes already: evaluation.py gathers it.
        warnings.filterwarnings("ignore", ".*sync_dist=True.*")
        freeze(self, self.optimization.groups)
        if self.channels_last:
            self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.compile_net:
            self.net.compile()

    def configure_optimizers(self) -> Any:
        return self.optimization.configure(self, clips=self.clip.active)

    def forward(self, batch: Tensors) -> Tensors:
        """The net's output, a dict of named tensors."""
        output = self.call_net(batch, {})
        if isinstance(output, Mapping) and self.output is None:
            return dict(output)
        if isinstance(output, Tensor) and self.output is not None:
            return {self.output: output}
        kind, net = type(output).__name__, type(self.net).__name__
        hints = {
            Mapping: "take `output` away",
            Tensor: "name it with `output: NAME`",
            object: "it must return a dict of tensors",
        }
        hint = next(hint for known, hint in hints.items() if isinstance(output, known))
        raise ConfigError(f"model.net ({net}) returns a {kind}: {hint}")

    def loss_values(self, batch: Tensors, output: Tensors) -> Tensors:
        """Each loss by name, and `sum`, their weighted sum."""
        values: Tensors = {}
        weighted = []
        for name, call in self.call_losses.items():
            value = call(batch, output)
            parts = (
                {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {name: value}
            )
            for part, loss in parts.items():
                if not (isinstance(loss, Tensor) and loss.ndim == 0):
                    raise ConfigError(
                        f"{call.where} ({call.owner}) returns {shapes({part: loss})}; it must be a scalar tensor"
                    )
                # A factor of 1 and a sum of one would cost as much as a small loss.
                weighted.append(loss if self.weights[name] == 1 else self.weights[name] * loss)
            values |= parts
        return values | {"sum": sum(weighted[1:], weighted[0])}

    def training_step(self, batch: Tensors, batch_idx: int) -> dict[str, Any]:
        output = self(batch)
        losses = self.loss_values(batch, output)
        detached = {name: value.detach() for name, value in output.items() if isinstance(value, Tensor)}
        if self.logs_now or not self.wired:
            self._log_training(batch, detached, losses)
        return {"loss": losses["sum"], "output": detached}

    def on_train_start(self) -> None:
        of_scalars = {name: term for name, term in self.metric_terms.items() if not hasattr(term.metric, "picture")}
        self.train_metrics, self.wired = Metrics(of_scalars, self.device), False

    def on_validation_epoch_start(self) -> None:
        self.start_evaluations(len(self.trainer.num_val_batches))

    def on_test_epoch_start(self) -> None:
        self.start_evaluations(len(self.trainer.num_test_batches))

    def validation_step(self, batch: Tensors, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        if batch_size(batch) == 0:
            return {}  # this process has no samples left, others have
        output = self(batch)
        self.evaluations[dataloader_idx].add(batch, output, self.loss_values(batch, output))
        return {"output": output}

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.finish_evaluations("val"))

    def on_test_epoch_end(self) -> None:
        self.log_dict(self.finish_evaluations("eval"))

    def predict_step(self, batch: Tensors, batch_idx: int, dataloader_idx: int = 0) -> Tensors:
        """What the net's `predict` makes of its output; the output itself where it has none."""
        if batch_size(batch) == 0:
            return {}
        output = self(batch)
        prediction: Tensors = self.call_predict({}, output) if self.call_predict else output
        return prediction

    def check_logged(self, name: str, where: str) -> None:
        """Raises ConfigError where a name such as val/accuracy is of no loss and no metric."""
        names = [*self.weights, "sum", *self.metric_terms]
        part, *rest = name.split("/")
        if part in ("train", "val", "eval") and not set(rest) & set(names):
            known = ["/".join((part, *rest[:-1], item)) for item in names]
            raise ConfigError(
                f"{where}: nothing is called '{name}'{did_you_mean(name, known)}\nknown: {listing(known)}"
            )

    def per_sample(self, batch: Tensors, output: Tensors) -> Tensors:
        """The columns of samples.csv: each loss and metric that knows its value per sample, `(B,)`."""
        return {name: call(batch, output) for name, call in self.columns.items()}

    def _log_training(self, batch: Tensors, output: Tensors, losses: Tensors) -> None:
        """Losses and metrics of this batch; at the first one a check of the wiring, before any weight changes."""
        assert self.train_metrics is not None
        self.wired = True
        with torch.no_grad():
            self.train_metrics.reset()
            self.train_metrics.update(batch, output)
            values = {name: value.detach() for name, value in losses.items()} | self.train_metrics.compute()
        if self.logs_now:
            self.log_now({f"train/{name}": value for name, value in values.items()})

    def start_evaluations(self, sets: int) -> None:
        """Forgets what was evaluated before."""
        if len(self.evaluations) != sets:
            self.evaluations = [Evaluation(self.metric_terms, self.device) for _ in range(sets)]
        for evaluation in self.evaluations:
            evaluation.reset()

    def finish_evaluations(self, part: str) -> Tensors:
        """The losses' means and the metrics of a part's sets (val, eval); what is a picture goes to TensorBoard."""
        values: Tensors = {}
        for i, evaluation in enumerate(self.evaluations):
            prefix = part_name(self.trainer, part, i)
            values |= {f"{prefix}/{name}": value for name, value in evaluation.compute().items()}
            for board in () if self.trainer.sanity_checking else tensorboards(self.trainer):
                for name, picture in evaluation.pictures().items():
                    board.add_image(f"{prefix}/{name}", picture, self.trainer.global_step)
        return values


def _check_names(loss: Mapping[str, LossTerm], metric: Mapping[str, MetricTerm]) -> None:
    if not loss:
        raise ConfigError("model.loss is empty: name at least one loss, such as `cross_entropy: {}`")
    for name in (*loss, *metric):
        if "." in name or "/" in name or name in ("sum", "visual"):
            raise ConfigError(
                f"model: a loss or metric cannot be called '{name}': no dots, no slashes, not sum or visual"
            )
    for name in loss.keys() & metric.keys():
        raise ConfigError(f"model: a loss and a metric are both called '{name}'; rename one and say its `type`")


def _per_sample_wires(loss: Mapping[str, LossTerm], metric: Mapping[str, MetricTerm]) -> dict[str, Wire]:
    rooms: list[tuple[str, str, Any, Inputs | None]] = [
        *(("loss", name, term.loss, term.inputs) for name, term in loss.items()),
        *(("metric", name, term.metric, term.inputs) for name, term in metric.items()),
    ]
    wires = {}
    for kind, name, owner, inputs in rooms:
        if hasattr(owner, "per_sample"):
            # It may do with fewer arguments than `forward` or `update`, for which `inputs` is written.
            known = inspect.signature(owner.per_sample).parameters
            own = {argument: tensor for argument, tensor in (inputs or {}).items() if argument in known}
            wires[name] = Wire(owner, "per_sample", f"model.{kind}.{name}", own)
    return wires
