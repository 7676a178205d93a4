"""Optimizers, parameter groups and gradient clipping."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import nn
from torch.optim import Optimizer

from project.core.errors import ConfigError, constructor_error, did_you_mean, join_names
from project.core.functions import function_of
from project.core.model.fused import check_fused, is_fusible
from project.core.model.run_length import run_length, set_totals
from project.core.model.schedulers import Warmup

Built = TypeVar("Built")
_SCALE = "lr_scale"  # in the groups that `parameter_groups` returns: factor of the optimizer's learning rate
_REST = "rest"  # stored: the name of the group that no pattern matches, in optimizers and curves


@dataclass
class Clip:
    """Gradient clipping.

    Args:
        value: largest norm (or absolute value) of the gradient in the first `warmup_epochs`; 0 disables.
        warmup_epochs: epoch from which `value_after` is used.
        value_after: largest norm (or absolute value) after the warm-up; null takes `value`, 0 disables.
        algorithm: clip the norm of the whole gradient, or each of its values.
    """

    value: Annotated[float, Ge(0)] = 0.0
    warmup_epochs: Annotated[int, Ge(0)] = 0
    value_after: Annotated[float, Ge(0)] | None = None
    algorithm: Literal["norm", "value"] = "norm"

    @property
    def is_active(self) -> bool:
        """Whether gradients are clipped in any epoch."""
        return self.value > 0 or bool(self.value_after)

    def value_at(self, epoch: int) -> float:
        """Return the value in an epoch, counted from 0."""
        return self.value if self.value_after is None or epoch < self.warmup_epochs else self.value_after


@dataclass
class FreezeUntil:
    """When a frozen group begins to train.

    Args:
        until_epoch: first epoch in which it trains, counted from 0.
    """

    until_epoch: Annotated[int, Ge(1)]


@dataclass
class ParameterGroup:
    """Parameters with settings of their own. A parameter belongs to the first group that matches it.

    Args:
        match: pattern of parameter names, such as `net.head.*`.
        lr: learning rate; null takes the optimizer's.
        lr_scale: factor of the optimizer's learning rate, instead of `lr`.
        weight_decay: weight decay; null takes the optimizer's.
        freeze: do not train these parameters, or only from an epoch on: `{until_epoch: 3}`.
        freeze_statistics: keep the running statistics of batch norm that the pattern matches, and normalize with them;
            until the group trains if it has `until_epoch`, else always.

    Example::

        model:
          groups:  # fine-tuning: the backbone trains from epoch 3 on, its first layers with a hundredth of the rate
            - {match: "net.backbone.stem.*", lr_scale: 0.01, freeze: {until_epoch: 3}, freeze_statistics: true}
            - {match: "net.backbone.*", lr_scale: 0.1, freeze: {until_epoch: 3}, freeze_statistics: true}
    """

    match: str
    lr: Annotated[float, Ge(0)] | None = None
    lr_scale: Annotated[float, Ge(0)] | None = None
    weight_decay: Annotated[float, Ge(0)] | None = None
    freeze: bool | FreezeUntil = False
    freeze_statistics: bool = False

    def __post_init__(self) -> None:
        if self.lr is not None and self.lr_scale is not None:
            raise ConfigError(f"model.groups: '{self.match}' has lr and lr_scale; remove one of them")
        unused = [name for name in ("lr", "lr_scale", "weight_decay") if getattr(self, name) is not None]
        if self.freeze is True and unused:
            raise ConfigError(f"model.groups: '{self.match}' has freeze: true and {unused[0]}; remove one of them")

    @property
    def until_epoch(self) -> int:
        """The first epoch in which the group trains if it is frozen until then, else 0."""
        return self.freeze.until_epoch if isinstance(self.freeze, FreezeUntil) else 0


@dataclass
class Optimization:
    """Everything that `configure_optimizers` needs.

    Args:
        optimizer: builds the optimizer from parameters.
        scheduler: builds the learning-rate scheduler from the optimizer.
        interval: whether the scheduler steps after each optimizer step or each epoch.
        groups: parameters with settings of their own.
    """

    optimizer: OptimizerCallable
    scheduler: LRSchedulerCallable | None = None
    interval: Literal["step", "epoch"] = "epoch"
    groups: list[ParameterGroup] = field(default_factory=list)

    def configure(self, module: LightningModule, clips: bool) -> dict[str, Any]:
        """Return what `LightningModule.configure_optimizers` returns."""
        optimizer = build_optimizer(self.optimizer, parameter_groups(module, self.groups), module, clips)
        if self.scheduler is None:
            return {"optimizer": optimizer}
        build, rates = self.scheduler, [group["lr"] for group in optimizer.param_groups]
        scheduler = _build(lambda: build(optimizer), "model.scheduler")
        is_scaled = any(group.lr_scale is not None for group in self.groups)
        if is_scaled and rates != [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]:
            name = type(scheduler).__name__
            raise ConfigError(f"model.groups: lr_scale has no effect, because {name} sets the learning rates itself")
        set_totals(scheduler, lambda: run_length(module.trainer, self.interval), self.interval)
        entry: dict[str, Any] = {"scheduler": scheduler, "interval": self.interval}
        if isinstance(scheduler, ReduceLROnPlateau | Warmup) and scheduler.monitor is not None:
            entry |= {"monitor": scheduler.monitor, "reduce_on_plateau": True}
        return {"optimizer": optimizer, "lr_scheduler": entry}


def build_optimizer(
    optimizer: OptimizerCallable, parameters: Iterable[Any], module: LightningModule, clips: bool
) -> Optimizer:
    """Return the optimizer, fused where that computes the same, unless the yaml sets `fused`.

    It is not fused if gradients are clipped under mixed precision, which Lightning does not allow, or if a function
    builds it, which may not take `fused`.

    Raises:
        ConfigError: torch refuses the settings, or the yaml asks for a fused optimizer that computes wrong values.
    """
    given = list(parameters)

    def build(**options: bool) -> Optimizer:
        copies = [dict(item) if isinstance(item, dict) else item for item in given]  # constructors change the dicts
        built = _build(lambda: optimizer(copies, **options), "model.optimizer")
        for group in built.param_groups:
            group["lr"] *= group.pop(_SCALE, 1)
        return built

    built = build()
    check_fused(built)
    is_mixed = isinstance(module.trainer.precision_plugin, MixedPrecision)
    is_of_function = any(map(function_of, getattr(optimizer, "args", ())))  # jsonargparse gives a partial of the class
    is_allowed = not is_of_function and not (clips and is_mixed)
    return build(fused=True) if is_allowed and is_fusible(built, module) else built


def _build(build: Callable[[], Built], path: str) -> Built:
    """Call a constructor of torch; an error that torch raises is a mistake in the yaml."""
    try:
        return build()
    except Exception as error:
        told = constructor_error(error, path)
        if isinstance(told, ConfigError) and "total_steps" in str(told):
            told = ConfigError(f"{told}\nSet {path}.total_steps, in the unit of model.interval")
        raise told from error.__cause__


def parameter_groups(module: nn.Module, groups: list[ParameterGroup]) -> list[dict[str, Any]]:
    """Return the parameters that train, or will do so, in the form that `build_optimizer` takes.

    Raises:
        ConfigError: a pattern matches no parameter that is not in an earlier group, or no parameter trains at first.
    """
    named = [ParameterGroup(_REST), *groups]
    result, first_epochs = [], []
    for group, parameters in zip(named, match_parameters(module, groups), strict=True):
        settings = {"lr": group.lr, _SCALE: group.lr_scale, "weight_decay": group.weight_decay}
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        if trainable:
            first_epochs.append(group.until_epoch)
            given = {name: value for name, value in settings.items() if value is not None}
            result.append({"params": trainable, "name": group.match} | given)
    if not first_epochs or min(first_epochs) > 0:
        problem = "model.groups freezes every parameter" if groups else "model.net has no parameters"
        raise ConfigError(f"{problem}: there is nothing to train")
    if len(result) == 1:
        del result[0]["name"]
    return result


def match_parameters(module: nn.Module, groups: list[ParameterGroup]) -> list[list[nn.Parameter]]:
    """Return the parameters that no group matches, then those of each group.

    Raises:
        ConfigError: a pattern matches no parameter that is not in an earlier group.
    """
    rest = dict(module.named_parameters())
    matched = []
    for group in groups:
        names = [name for name in rest if fnmatchcase(name, group.match)]
        if not names:
            everything = [name for name, _ in module.named_parameters()]
            if any(fnmatchcase(name, group.match) for name in everything):
                raise ConfigError(
                    f"model.groups: all parameters that '{group.match}' matches are in earlier groups; list it first"
                )
            names_in_net = [name for name in everything if fnmatchcase(name, f"net.{group.match}")]
            near = f"; did you mean 'net.{group.match}'?" if names_in_net else did_you_mean(group.match, everything)
            parts = dict.fromkeys(_part_pattern(name) for name in everything)
            raise ConfigError(f"model.groups: '{group.match}' matches no parameter{near}\nknown: {join_names(parts)}")
        matched.append([rest.pop(name) for name in names])
    return [list(rest.values()), *matched]


def _part_pattern(name: str) -> str:
    """Return the pattern of the part of a net that has a parameter: `net.stem.*` for `net.stem.0.weight`."""
    first = name.split(".")[:2]
    return name if name.count(".") < 2 else ".".join([*first, "*"])
