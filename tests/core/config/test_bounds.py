"""Bounds of numbers: those of every component, and those of arguments of Lightning and torch."""

from typing import Any

import pytest
import pytorch_lightning as pl
from annotated_types import Ge, Gt, Interval, Le, Lt
from torch import optim

from project.core.cli.arguments import parse_arguments
from project.core.config.annotations import describe_type, parameters_of
from project.core.config.bounds import describe_bounds, is_within
from project.core.config.configuration import build_config
from project.core.config.yaml_files import merge_all
from project.core.errors import ConfigError
from project.registry import Registry
from tests.conftest import TINY

# Numbers of components that may have any value.
FREE = {"CrossEntropy.ignore_index", "Cutout.fill", "Dice.ignore_index", "Normalize.mean", "RandomShift.mask_fill"}


@pytest.mark.parametrize(
    ("bounds", "text", "within", "outside"),
    [
        ((Ge(0),), ">= 0", [0, 1e30], [-1e-30, float("inf"), float("nan")]),
        ((Gt(0), Le(1)), "> 0 and <= 1", [0.5, 1], [0, 1.1]),
        ((Interval(ge=0, lt=1),), ">= 0 and < 1", [0, 0.99], [-1, 1]),
        ((Lt(5),), "< 5", [-1e300], [5, float("-inf")]),
        (("no bound",), "", [-1, float("inf")], []),
    ],
)
def test_bounds(bounds: tuple[Any, ...], text: str, within: list[float], outside: list[float]) -> None:
    assert describe_bounds(bounds) == text
    assert all(is_within(number, bounds) for number in within)
    assert not any(is_within(number, bounds) for number in outside)


def test_every_number_of_a_component_has_bounds() -> None:
    """A new argument of a component gets bounds, or a place in FREE."""
    kinds = [registry for registry in Registry.by_base.values() if registry.package]
    classes = {registry.resolve(name, "") for registry in kinds for name in registry.names()}
    numbers = {
        f"{cls.__name__}.{name}": describe_type(parameter.annotation)
        for cls in classes
        if cls.__module__.startswith("project.")
        for name, parameter in parameters_of(cls).items()
        if name != "seed"  # the engine gives it
    }
    unbounded = [
        name for name, text in numbers.items() if {"int", "float", "list[float]", "list[int]"} & {*text.split(" | ")}
    ]
    assert sorted(unbounded) == sorted(FREE & numbers.keys())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("trainer.accumulate_grad_batches -1", "trainer.accumulate_grad_batches is -1; it takes int >= 1"),
        ("trainer.check_val_every_n_epoch 0", "trainer.check_val_every_n_epoch is 0; it takes int >= 1 | null"),
        ("trainer.log_every_n_steps -5", "trainer.log_every_n_steps is -5; it takes int >= 0 | null"),
        ("trainer.limit_train_batches -1", "it takes int >= 0 | float >= 0 | null"),
        ("trainer.overfit_batches .nan", "trainer.overfit_batches is nan; it takes int >= 0 | float >= 0"),
        ("model.groups [{match: x, lr: -0.003}]", "model.groups.0.lr is -0.003; it takes float >= 0 | null"),
        (
            "model.groups [{match: x, weight_decay: .inf}]",
            "model.groups.0.weight_decay is inf; it takes float >= 0 | null",
        ),
        ("model.clip.value .nan", "model.clip.value is nan; it takes float >= 0"),
        ("model.clip.warmup_epochs -1", "model.clip.warmup_epochs is -1; it takes int >= 0"),
        ("model.loss.cross_entropy.weight -1", "model.loss.cross_entropy.weight is -1; it takes float >= 0"),
        ("model.loss.cross_entropy.weight .inf", "model.loss.cross_entropy.weight is inf; it takes float >= 0"),
        ("model.optimizer.lr .inf", "model.optimizer.lr is inf; it takes float >= 0 | Tensor"),
        (
            "model.optimizer.betas [0.9, .nan]",
            "model.optimizer.betas is [0.9, nan]; it takes tuple[float | Tensor, float | Tensor]",
        ),
        ("model.scheduler {type: StepLR, step_size: 0}", "model.scheduler.step_size is 0; it takes int >= 1"),
        ("model.scheduler {type: ExponentialLR, gamma: -0.9}", "model.scheduler.gamma is -0.9; it takes float >= 0"),
        ("model.scheduler {type: WarmupCosine, warmup: -1}", "model.scheduler.warmup is -1; it takes int >= 0"),
        ("model.scheduler {type: WarmupCosine, total: 0}", "model.scheduler.total is 0; it takes int >= 1 | null"),
        ("model.scheduler {type: WarmupCosine, final: 2}", "model.scheduler.final is 2; it takes float >= 0 and <= 1"),
        ("model.scheduler {type: Poly, power: -1}", "model.scheduler.power is -1; it takes float >= 0"),
        ("timeout .inf", "timeout is inf; it takes float > 0 and < 1000000000"),
        ("checkpoint.save_time -1", "checkpoint.save_time is -1; it takes float >= 0"),
        ("checkpoint.keep -2", "checkpoint.keep is -2; it takes -1 | int >= 1"),
        ("evaluation.max_samples 0", "evaluation.max_samples is 0; it takes int >= 1 | null"),
        ("progress.train -1", "progress.train is -1; it takes int >= 0"),
        ("data.num_workers -1", "data.num_workers is -1; it takes int >= 0"),
        ("seed 4294967296", "seed is 4294967296; it takes int >= 0 and < 4294967296"),
        (
            "trainer.callbacks [{type: EarlyStopping, monitor: val/sum, patience: -1}]",
            "patience is -1; it takes int >= 0",
        ),
        ("trainer.callbacks [{type: EarlyStopping, monitor: a, min_delta: .inf}]", "min_delta is inf; it takes float"),
    ],
)
def test_number_out_of_bounds_is_a_mistake(option: str, message: str) -> None:
    name, _, value = option.partition(" ")
    options = parse_arguments(["fit", f"--{name}", value]).settings
    tree = TINY | {"base": None}
    del tree["base"]
    with pytest.raises(ConfigError) as error:
        build_config(merge_all([tree, *options]))
    assert message in str(error.value)


def test_arguments_of_libraries_keep_their_defaults_within_the_bounds() -> None:
    """A bound that refuses a default would refuse every saved configuration."""
    from project.core.config.values import is_accepted

    classes: list[type] = [pl.Trainer]
    for module, base in (
        (optim, optim.Optimizer),
        (optim.lr_scheduler, optim.lr_scheduler.LRScheduler),
        (pl.callbacks, pl.Callback),
    ):
        classes += [cls for cls in vars(module).values() if isinstance(cls, type) and issubclass(cls, base)]
    for cls in classes:
        for name, parameter in parameters_of(cls).items():
            if not parameter.required and isinstance(parameter.default, int | float | str | list | tuple):
                assert is_accepted(parameter.default, parameter.annotation), (cls, name)
