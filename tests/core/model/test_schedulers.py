"""WarmupCosine and Poly have the learning rates of their formulas, also after a resume."""

import math

import pytest
import torch
from torch.optim import SGD, Optimizer

from project.core.model.schedulers import Poly, Schedule, WarmupCosine


def build_optimizer() -> Optimizer:
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)


def learning_rates(schedule: Schedule, steps: int) -> list[float]:
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
