import math

import pytest
import torch
from torch.optim import SGD, Optimizer

from project.core.schedulers import Poly, Schedule, WarmupCosine


def optimizer() -> Optimizer:
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)


def rates(schedule: Schedule, steps: int) -> list[float]:
    values = []
    for _ in range(steps):
        values.append(float(schedule.get_last_lr()[0]))
        schedule.optimizer.step()
        schedule.step()
    return values


def test_warmup_cosine() -> None:
    values = rates(WarmupCosine(optimizer(), total=6, warmup=2, final=0.1), 8)
    cosine = [0.1 + 0.9 * (1 + math.cos(math.pi * i / 4)) / 2 for i in range(5)]
    assert values == pytest.approx([2 / 3, 4 / 3, *(2 * factor for factor in cosine), 0.2])


def test_poly() -> None:
    values = rates(Poly(optimizer(), total=4, power=2), 6)
    assert values == pytest.approx([2 * (1 - i / 4) ** 2 for i in range(5)] + [0])


def test_goes_on_after_a_checkpoint() -> None:
    whole = WarmupCosine(optimizer(), total=6, warmup=2)
    expected = rates(whole, 6)
    half = WarmupCosine(optimizer(), total=6, warmup=2)
    rates(half, 3)
    rest = WarmupCosine(optimizer(), total=None, warmup=2)
    rest.optimizer.load_state_dict(half.optimizer.state_dict())
    rest.load_state_dict(half.state_dict())
    assert rates(rest, 3) == expected[3:]
