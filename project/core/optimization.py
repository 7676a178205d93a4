"""Optimizers, parameter groups and gradient clipping, as the yaml words them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeVar

from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import nn
from torch.optim import Optimizer

from project.core.errors import ConfigError, by_owner, did_you_mean, note_where
from project.core.schedulers import Schedule

Made = TypeVar("Made")


@dataclass
class Clip:
    """Gradient clipping.

    Args:
        value: the largest norm (or absolute value) of the gradient before `warmup_epochs`; 0 is off.
        warmup_epochs: from this epoch on, `value_after` holds.
        value_after: null keeps `value`; 0 is off.
        algorithm: clip the norm of the whole gradient, or each of its values.
    """

    value: float = 0.0
    warmup_epochs: int = 0
    value_after: float | None = None
    algorithm: Literal["norm", "value"] = "norm"

    def __post_init__(self) -> None:
        if self.value < 0 or (self.value_after or 0) < 0:
            raise ConfigError("model.clip: value and value_after must be at least 0, which is off")

    @property
    def active(self) -> bool:
        """Whether any epoch clips."""
        return self.value > 0 or bool(self.value_after)

    def at(self, epoch: int) -> float:
        """The value that holds in an epoch (from 0)."""
        return self.value if self.value_after is None or epoch < self.warmup_epochs else self.value_after


@dataclass
class ParameterGroup:
    """Parameters with settings of their own; the first group that matches a parameter takes it.

    Args:
        match: pattern for the parameters' names, such as `net.head.*`.
        lr: learning rate; null takes the optimizer's.
        weight_decay: null takes the optimizer's.
        freeze: do not train them at all.
    """

    match: str
    lr: float | None = None
    weight_decay: float | None = None
    freeze: bool = False


@dataclass
class Optimization:
    """All that `configure_optimizers` needs.

    Args:
        optimizer: makes the optimizer from parameters.
        scheduler: makes the learning-rate schedule from the optimizer.
        interval: whether the schedule goes on by step or by epoch.
        groups: parameters with settings of their own.
    """

    optimizer: OptimizerCallable
    scheduler: LRSchedulerCallable | None = None
    interval: Literal["step", "epoch"] = "epoch"
    groups: list[ParameterGroup] = field(default_factory=list)

    def configure(self, module: LightningModule, clips: bool) -> dict[str, Any]:
        """What `LightningModule.configure_optimizers` returns."""
        optimizer = build_optimizer(self.optimizer, parameter_groups(module, self.groups), module, clips)
        if self.scheduler is None:
            return {"optimizer": optimizer}
        make = self.scheduler
        scheduler = _built(lambda: make(optimizer), "model.scheduler")
        if isinstance(scheduler, Schedule) and scheduler.total is None:
            scheduler.total = _run_length(module, self.interval)
        entry: dict[str, Any] = {"scheduler": scheduler, "interval": self.interval}
        if isinstance(scheduler, ReduceLROnPlateau):
            entry["monitor"] = scheduler.monitor
        return {"optimizer": optimizer, "lr_scheduler": entry}


def build_optimizer(
    optimizer: OptimizerCallable, parameters: Iterable[Any], module: LightningModule, clips: bool
) -> Optimizer:
    """The optimizer, fused where torch has it and the yaml says nothing else.

    Not fused where gradients are clipped under mixed precision: Lightning refuses the two together.
    """
    given = getattr(optimizer, "keywords", {})
    free = given.get("fused", True) is None and not (given.get("foreach") or given.get("differentiable"))
    mixed = isinstance(module.trainer.precision_plugin, MixedPrecision)
    options = {"fused": True} if free and not (clips and mixed) else {}
    return _built(lambda: optimizer(parameters, **options), "model.optimizer")


def _built(make: Callable[[], Made], where: str) -> Made:
    """What `make` makes of the yaml's values; torch's refusal of one is the yaml's mistake."""
    try:
        return make()
    except (ValueError, RuntimeError, TypeError) as error:
        if by_owner(error):
            note_where(error, f"{where}, while it was built")
            raise
        raise ConfigError(f"{where}: {error}") from error


def freeze(module: nn.Module, groups: list[ParameterGroup]) -> None:
    """Takes `requires_grad` from the parameters of the groups that say so.

    Raises:
        ConfigError: a pattern matches nothing.
    """
    for group, parameters in zip(groups, _match(module, groups)[1:], strict=True):
        for parameter in parameters if group.freeze else ():
            parameter.requires_grad_(False)


def parameter_groups(module: nn.Module, groups: list[ParameterGroup]) -> list[dict[str, Any]]:
    """The trainable parameters in the optimizer's form.

    Raises:
        ConfigError: a pattern matches nothing, or nothing is trainable.
    """
    named = [ParameterGroup("rest"), *groups]
    result = []
    for group, parameters in zip(named, _match(module, groups), strict=True):
        settings = {"lr": group.lr, "weight_decay": group.weight_decay}
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        if trained:
            given = {name: value for name, value in settings.items() if value is not None}
            result.append({"params": trained, "name": group.match} | given)
    if not result:
        raise ConfigError(
            "model.groups: every parameter is frozen"
            if groups
            else "model.net has no parameters: nothing is to be trained"
        )
    if len(result) == 1:
        del result[0]["name"]
    return result


def _match(module: nn.Module, groups: list[ParameterGroup]) -> list[list[nn.Parameter]]:
    """The parameters that no group matches, then those of each group; the first that matches takes one."""
    rest = dict(module.named_parameters())
    matched = []
    for group in groups:
        names = [name for name in rest if fnmatchcase(name, group.match)]
        if not names:
            near = did_you_mean(group.match, [name for name, _ in module.named_parameters()])
            raise ConfigError(f"model.groups: '{group.match}' matches no parameter that is still free{near}")
        matched.append([rest.pop(name) for name in names])
    return [list(rest.values()), *matched]


def _run_length(module: LightningModule, interval: str) -> int:
    trainer = module.trainer
    length = trainer.max_epochs if interval == "epoch" else trainer.estimated_stepping_batches
    if length is None or not 0 <= length < float("inf"):
        raise ConfigError(
            f"model.scheduler needs `total`, in {interval}s: the run's own length is not known "
            "(trainer.max_epochs, and for steps the number of batches)"
        )
    return int(length)
