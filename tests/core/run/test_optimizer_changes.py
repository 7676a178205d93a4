"""A resume with other settings of optimizer and scheduler applies them: moments and position stay, the rest is new."""

import re
from copy import deepcopy
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning.cli import ReduceLROnPlateau
from torch import nn
from torch.optim import SGD, AdamW, Optimizer, lr_scheduler

from project.core.errors import ConfigError
from project.core.model.schedulers import ChainedScheduler, Poly, SequentialLR, Warmup, WarmupCosine
from project.core.run.optimizer_changes import apply_changes
from project.core.run.optimizer_settings import describe_changes, read_settings
from tests.core import random_configs
from tests.exactness import differing, flat


def quarter(step: int) -> float:
    """Return a factor that only the first step has in common with `halve`."""
    return 0.25**step


Built = tuple[Optimizer, Any]
LINEAR, COSINE, EXPONENTIAL = lr_scheduler.LinearLR, lr_scheduler.CosineAnnealingLR, lr_scheduler.ExponentialLR
LAMBDA = lr_scheduler.LambdaLR
# Schedulers with two sets of arguments.
SCHEDULERS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "LambdaLR": (
        *(lr_scheduler.LambdaLR, {"lr_lambda": random_configs.halve}),
        {"lr_lambda": random_configs.shrink},
    ),
    "MultiplicativeLR": (
        *(lr_scheduler.MultiplicativeLR, {"lr_lambda": random_configs.shrink}),
        {"lr_lambda": random_configs.halve},
    ),
    "StepLR": (lr_scheduler.StepLR, {"step_size": 2, "gamma": 0.5}, {"step_size": 3, "gamma": 0.7}),
    "MultiStepLR": (lr_scheduler.MultiStepLR, {"milestones": [2, 5]}, {"milestones": [1, 3, 6]}),
    "ConstantLR": (lr_scheduler.ConstantLR, {"total_iters": 6}, {"total_iters": 3}),
    "LinearLR": (lr_scheduler.LinearLR, {"total_iters": 8}, {"total_iters": 5}),
    "ExponentialLR": (lr_scheduler.ExponentialLR, {"gamma": 0.9}, {"gamma": 0.8}),
    "PolynomialLR": (lr_scheduler.PolynomialLR, {"total_iters": 6, "power": 2.0}, {"total_iters": 20, "power": 2.0}),
    "CosineAnnealingLR": (lr_scheduler.CosineAnnealingLR, {"T_max": 5}, {"T_max": 9, "eta_min": 0.01}),
    "CosineAnnealingWarmRestarts": (lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 3}, {"T_0": 2, "T_mult": 2}),
    "CyclicLR": (
        *(lr_scheduler.CyclicLR, {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3}),
        {"base_lr": 0.02, "max_lr": 0.1, "step_size_up": 4},
    ),
    "OneCycleLR": (lr_scheduler.OneCycleLR, {"max_lr": 0.1, "total_steps": 12}, {"max_lr": 0.3, "total_steps": 20}),
    "SequentialLR": (
        *(SequentialLR, {"schedulers": [partial(LINEAR, total_iters=3), partial(COSINE, T_max=5)], "milestones": [3]}),
        {"schedulers": [partial(LINEAR, total_iters=2), partial(COSINE, T_max=9)], "milestones": [2]},
    ),
    "SequentialLR of functions": (
        *(SequentialLR, {"schedulers": [LINEAR, partial(LAMBDA, lr_lambda=random_configs.halve)], "milestones": [3]}),
        {"schedulers": [LINEAR, partial(LAMBDA, lr_lambda=quarter)], "milestones": [3]},
    ),
    "ChainedScheduler": (
        *(ChainedScheduler, {"schedulers": [partial(LINEAR, total_iters=3), partial(EXPONENTIAL, gamma=0.9)]}),
        {"schedulers": [partial(LINEAR, total_iters=8), partial(EXPONENTIAL, gamma=0.8)]},
    ),
    "WarmupCosine": (WarmupCosine, {"total": 5, "warmup": 2}, {"total": 20, "warmup": 2}),
    "Poly": (Poly, {"total": 5}, {"total": 20}),
    "Warmup": (
        Warmup,
        {"length": 3, "after": partial(COSINE, T_max=5)},
        {"length": 2, "after": partial(COSINE, T_max=9)},
    ),
    "Warmup alone": (Warmup, {"length": 7}, {"length": 9, "start": 0.5}),
}
OWN_RATES = ("CyclicLR", "OneCycleLR")
POSITION = 5


def build(parameters: list[nn.Parameter], scheduler: Any, arguments: dict[str, Any], **settings: Any) -> Built:
    groups = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": settings.get("lr", 0.1) / 10}]
    optimizer = SGD(groups, **({"lr": 0.1, "momentum": 0.9} | settings))
    return optimizer, scheduler and scheduler(optimizer, **arguments)


def run_steps(built: Built, parameters: list[nn.Parameter], count: int) -> list[list[float]]:
    """Step optimizer and scheduler; return the learning rates of all groups at each step."""
    optimizer, scheduler = built
    rates = []
    for _ in range(count):
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        arguments = (1.0,) if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else ()
        if scheduler is not None:
            scheduler.step(*arguments)
    return rates


def as_trainer(built: Built) -> Any:
    optimizer, scheduler = built
    config = SimpleNamespace(scheduler=scheduler, interval="step", frequency=1, monitor=None)
    return SimpleNamespace(optimizers=[optimizer], lr_scheduler_configs=[config] if scheduler else [])


def resume(old: Built, settings: list[dict[str, Any]], new: Built) -> None:
    """Load the state of an optimizer and its scheduler, with the changed settings of those that were just built."""
    checkpoint = {"optimizer_states": [deepcopy(old[0].state_dict())], "lr_schedulers": []}
    if old[1] is not None:
        checkpoint["lr_schedulers"].append(deepcopy(old[1].state_dict()))
    trainer = as_trainer(new)
    apply_changes(trainer, settings, read_settings(trainer), checkpoint, ["model.optimizer.lr"])
    new[0].load_state_dict(checkpoint["optimizer_states"][0])
    if new[1] is not None:
        new[1].load_state_dict(checkpoint["lr_schedulers"][0])


def make_parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))]


CHANGES: list[dict[str, Any]] = [{"lr": 0.5}, {"weight_decay": 0.1}, {"momentum": 0.5, "nesterov": True}, {}]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: " ".join(change) or "scheduler")
@pytest.mark.parametrize("name", SCHEDULERS)
def test_changed_run_has_the_settings_and_schedule_of_one_that_always_had_them(
    name: str, change: dict[str, Any]
) -> None:
    """The reference is plain torch: built with the new settings, and stepped as often."""
    scheduler, arguments, others = SCHEDULERS[name]
    if name in OWN_RATES and change:
        others = arguments = arguments | {"cycle_momentum": False}
    own, copied, unused = make_parameters(), make_parameters(), make_parameters()
    old = build(own, scheduler, arguments)
    settings = read_settings(as_trainer(old))
    run_steps(old, own, POSITION)
    new = build(copied, scheduler, arguments if change else others, **change)
    if name in OWN_RATES and "lr" in change:
        with pytest.raises(ConfigError, match=f"^--resume cannot change lr of SGD: {name} has its own$"):
            resume(old, settings, new)
        return
    resume(old, settings, new)
    reference = build(unused, scheduler, arguments if change else others, **change)
    run_steps(reference, unused, POSITION)
    assert differing(flat(new[1].state_dict()), flat(reference[1].state_dict())) == []
    found, expected = (built[0].state_dict() for built in (new, reference))
    assert differing(flat(found["param_groups"]), flat(expected["param_groups"])) == []
    assert differing(flat(found["state"]), flat(old[0].state_dict()["state"])) == []
    assert run_steps(new, copied, 4) == run_steps(reference, unused, 4)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SequentialLR", "schedulers.0.total_iters is 2, was 3; schedulers.1.T_max is 9, was 5"),
        ("Warmup", "length is 2, was 3; start is 0.3333333333333333, was 0.25; after.T_max is 9, was 5"),
        ("ChainedScheduler", "schedulers.0.total_iters is 8, was 3; schedulers.1.gamma is 0.8, was 0.9"),
    ],
)
def test_change_in_a_scheduler_of_schedulers_is_described(name: str, text: str) -> None:
    scheduler, arguments, others = SCHEDULERS[name]
    (before,), (now,) = (
        read_settings(as_trainer(build(make_parameters(), scheduler, given))) for given in (arguments, others)
    )
    assert "; ".join(describe_changes(before, now)) == text


def test_changed_settings_without_a_scheduler() -> None:
    own, copied = make_parameters(), make_parameters()
    old = build(own, None, {})
    settings = read_settings(as_trainer(old))
    run_steps(old, own, POSITION)
    new = build(copied, None, {}, lr=0.5, weight_decay=0.1)
    resume(old, settings, new)
    groups = [(group["lr"], group["weight_decay"], group["momentum"]) for group in new[0].param_groups]
    assert groups == [(0.5, 0.1, 0.9), (0.05, 0.1, 0.9)]
    assert differing(flat(new[0].state_dict()["state"]), flat(old[0].state_dict()["state"])) == []


def test_setting_that_the_training_changes_itself_is_refused() -> None:
    own = make_parameters()
    old = build(own, None, {})
    settings = read_settings(as_trainer(old))
    old[0].param_groups[0]["lr"] = 0.03
    message = "--resume cannot change lr from 0.1 to 0.5: the training itself has set it to 0.03; use --finetune"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        resume(old, settings, build(make_parameters(), None, {}, lr=0.5))
    new = build(make_parameters(), None, {}, weight_decay=0.1)
    resume(old, settings, new)
    assert (new[0].param_groups[0]["lr"], new[0].param_groups[0]["weight_decay"]) == (0.03, 0.1)


@pytest.mark.parametrize("change", [{"lr": 0.5}, {"weight_decay": 0.1}, {}], ids=["lr", "weight decay", "scheduler"])
def test_changed_plateau_keeps_its_reductions(change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"monitor": "val/sum", "patience": 1, "factor": 0.5}
    own, copied = make_parameters(), make_parameters()
    old = build(own, ReduceLROnPlateau, arguments)
    settings = read_settings(as_trainer(old))
    run_steps(old, own, POSITION)
    assert [group["lr"] for group in old[0].param_groups] == pytest.approx([0.025, 0.0025])
    new = build(copied, ReduceLROnPlateau, arguments | ({} if change else {"patience": 3, "factor": 0.1}), **change)
    resume(old, settings, new)
    ratio = change.get("lr", 0.1) / 0.1
    rates = [group["lr"] for group in new[0].param_groups]
    assert rates == pytest.approx([0.025 * ratio, 0.0025 * ratio])
    assert new[1].get_last_lr() == rates
    assert (new[1].best, new[1].num_bad_epochs, new[1].last_epoch) == (1.0, old[1].num_bad_epochs, POSITION)
    assert (new[1].patience, new[1].factor) == ((1, 0.5) if change else (3, 0.1))


def test_position_after_the_end_of_a_schedule_is_refused() -> None:
    own = make_parameters()
    scheduler, arguments, _ = SCHEDULERS["OneCycleLR"]
    old = build(own, scheduler, arguments)
    settings = read_settings(as_trainer(old))
    run_steps(old, own, POSITION)
    with pytest.raises(ConfigError, match=r"^--resume cannot continue OneCycleLR with changed settings: Tried to step"):
        resume(old, settings, build(make_parameters(), scheduler, arguments | {"total_steps": 4}))


def test_optimizer_with_several_schedulers_is_refused() -> None:
    optimizer, other = (AdamW(make_parameters(), lr=rate) for rate in (0.1, 0.5))
    trainers = [
        SimpleNamespace(
            optimizers=[each],
            lr_scheduler_configs=[
                SimpleNamespace(scheduler=scheduler(each), interval="step", frequency=1, monitor=None)
                for scheduler in (lr_scheduler.ConstantLR, lr_scheduler.LinearLR)
            ],
        )
        for each in (optimizer, other)
    ]
    saved, built = (read_settings(trainer) for trainer in trainers)  # type: ignore[arg-type]
    checkpoint = {"optimizer_states": [optimizer.state_dict()], "lr_schedulers": [{}, {}]}
    with pytest.raises(ConfigError, match=r"^--resume cannot apply `lr is 0\.5, was 0\.1`: AdamW has several"):
        apply_changes(trainers[1], saved, built, checkpoint, [])  # type: ignore[arg-type]
