"""Schedules have the learning rates of their formulas, also after a resume, or of torch's after a warm-up."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import SGD, Optimizer, lr_scheduler

from project.core.errors import ConfigError
from project.core.model.schedulers import Poly, SequentialLR, Warmup, WarmupCosine
from tests.core.random_configs import SCHEDULERS, halve, shrink


def build_optimizer() -> Optimizer:
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)


def learning_rates(schedule: Any, steps: int) -> list[float]:
    """Return the learning rate of each step."""
    values = []
    for _ in range(steps):
        values.append(float(schedule.get_last_lr()[0]))
        schedule.optimizer.step()
        schedule.step()
    return values


def test_warmup_cosine_rises_linearly_and_falls_as_a_cosine() -> None:
    values = learning_rates(WarmupCosine(build_optimizer(), total=6, warmup=2, final=0.1), 8)
    cosine = [0.1 + 0.9 * (1 + math.cos(math.pi * i / 4)) / 2 for i in range(5)]
    assert values == pytest.approx([2 / 3, 4 / 3, *(2 * factor for factor in cosine), 0.2])


def test_poly_falls_as_a_power() -> None:
    values = learning_rates(Poly(build_optimizer(), total=4, power=2), 6)
    assert values == pytest.approx([2 * (1 - i / 4) ** 2 for i in range(5)] + [0])


def test_restored_schedule_continues() -> None:
    uninterrupted = WarmupCosine(build_optimizer(), total=6, warmup=2)
    expected = learning_rates(uninterrupted, 6)
    first = WarmupCosine(build_optimizer(), total=6, warmup=2)
    learning_rates(first, 3)
    second = WarmupCosine(build_optimizer(), total=None, warmup=2)
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    assert learning_rates(second, 3) == expected[3:]


@pytest.mark.parametrize(("start", "first"), [(None, 0.25), (0.1, 0.1), (0.0, 0.0)])
def test_warmup_rises_linearly_and_keeps_the_learning_rate(start: float | None, first: float) -> None:
    values = learning_rates(Warmup(build_optimizer(), 3, start=start), 6)
    assert values == pytest.approx([2 * (first + (1 - first) * step / 3) for step in range(3)] + [2.0] * 3)
    assert values[3:] == [2.0] * 3


def build_inner(name: str) -> Any:
    """Return a function from an optimizer to a scheduler, with the arguments of the random configurations."""
    if name == "SequentialLR":
        parts = [build_inner("Poly"), build_inner("ExponentialLR")]
        return partial(SequentialLR, schedulers=parts, milestones=[3])
    if name == "Poly":
        return partial(Poly, total=7)
    functions = {"LambdaLR": {"lr_lambda": halve}, "MultiplicativeLR": {"lr_lambda": shrink}}
    return partial(getattr(lr_scheduler, name), **SCHEDULERS[name] | functions.get(name, {}))


INNER = SCHEDULERS.keys() - {"ReduceLROnPlateau", "ChainedScheduler", "WarmupCosine", "Warmup"}


@pytest.mark.parametrize("name", sorted(INNER))
def test_scheduler_after_a_warmup_has_the_learning_rates_that_it_has_alone(name: str) -> None:
    """To the last bit, also in a warm-up and after it in a resumed run."""
    build = build_inner(name)
    alone = learning_rates(build(build_optimizer()), 9)
    whole = learning_rates(Warmup(build_optimizer(), 3, build), 12)
    assert whole == [pytest.approx(alone[0] * (step + 1) / 4) for step in range(3)] + alone
    for done in (2, 3, 4, 8):
        first, second = (Warmup(build_optimizer(), 3, build) for _ in range(2))
        learning_rates(first, done)
        second.optimizer.load_state_dict(first.optimizer.state_dict())
        second.load_state_dict(first.state_dict())
        assert learning_rates(second, 12 - done) == whole[done:]


def test_each_parameter_group_is_warmed_up_to_its_own_learning_rate() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (2.0, 0.5)]
    schedule = Warmup(SGD(groups), 1, partial(lr_scheduler.ExponentialLR, gamma=0.5))
    rates = []
    for _ in range(3):
        rates.append(schedule.get_last_lr())
        schedule.optimizer.step()
        schedule.step()
    assert rates == [[1.0, 0.25], [2.0, 0.5], [1.0, 0.25]]


def test_warmup_as_the_first_of_a_sequence() -> None:
    warmup = partial(Warmup, length=2, after=partial(lr_scheduler.ExponentialLR, gamma=0.5), start=0.5)
    values = learning_rates(SequentialLR(build_optimizer(), [warmup, partial(Poly, total=2, power=1)], [4]), 7)
    assert values == pytest.approx([1.0, 1.5, 2.0, 1.0, 2.0, 1.0, 0.0])
    with pytest.raises(ConfigError, match=r"^model\.scheduler\.schedulers: a Warmup must be the first"):
        SequentialLR(build_optimizer(), [partial(Poly, total=2), warmup], [4])


@pytest.mark.parametrize("milestones", [[5, 3], [3, 3], [0, 3]])
def test_milestones_must_increase(milestones: list[int]) -> None:
    constant = partial(lr_scheduler.ConstantLR, factor=0.5)
    with pytest.raises(
        ConfigError, match=r"^model\.scheduler\.milestones is \[., 3\]; they must be at least 1 and increase$"
    ):
        SequentialLR(build_optimizer(), [constant] * 3, milestones)
