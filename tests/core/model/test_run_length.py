"""The length of a run is counted right, and schedules that have none take their share of it."""

import math
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from torch.optim import SGD, Optimizer

from project.core.errors import ConfigError
from project.core.model.run_length import EpochSteps, Interval, log_interval, run_length, set_totals
from project.core.model.schedulers import Poly, SequentialLR, Warmup, WarmupCosine

MAX = {"max_epochs": 10, "max_steps": -1}


def build_trainer(batches: float = 10, scheduling: dict[int, int] | None = None, **settings: Any) -> pl.Trainer:
    given: dict[str, Any] = {"accumulate_grad_batches": 1, "log_every_n_steps": 50} | MAX | settings
    callbacks = [GradientAccumulationScheduler(scheduling)] if scheduling else []
    loop = SimpleNamespace(setup_data=lambda: None)
    return cast(pl.Trainer, SimpleNamespace(num_training_batches=batches, callbacks=callbacks, fit_loop=loop, **given))


def build_optimizer() -> Optimizer:
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)


def count_steps(trainer: pl.Trainer, scheduling: dict[int, int], epochs: int, batches: int = 0) -> int:
    """Return the number of steps by counting: one after each `accumulated` batches, and one at the end of an epoch."""
    steps = 0
    for epoch in range(epochs + 1):
        accumulated = scheduling[max(first for first in scheduling if first <= epoch)]
        whole = int(trainer.num_training_batches)
        last = batches if epoch == epochs else whole
        steps += sum(batch % accumulated == 0 or batch == whole for batch in range(1, last + 1))
    return steps


@pytest.mark.parametrize("scheduling", [{0: 1}, {0: 3}, {0: 1, 2: 4}, {0: 4, 1: 3, 4: 20}])
def test_steps_and_epochs_are_counted(scheduling: dict[int, int]) -> None:
    trainer = build_trainer(10, dict(scheduling))
    steps = EpochSteps(trainer)
    for epoch in range(7):
        for batch in (0, 1, 5, 9, 10):
            assert steps.before(epoch, batch) == count_steps(trainer, scheduling, epoch, batch)
        assert steps.epochs(steps.before(epoch)) == epoch
        assert steps.epochs(steps.before(epoch) + 1) == epoch + 1
        assert run_length(build_trainer(10, dict(scheduling), max_epochs=epoch + 1), "step") == steps.before(epoch + 1)
        assert run_length(build_trainer(10, dict(scheduling), max_steps=steps.before(epoch) + 1), "epoch") == epoch + 1
    assert steps.before(math.inf) == math.inf
    assert log_interval(trainer) == max(1, 10 // max(scheduling.values()))
    assert log_interval(build_trainer(10, dict(scheduling), log_every_n_steps=1)) == 1


@pytest.mark.parametrize("interval", ["step", "epoch"])
@pytest.mark.parametrize(
    ("settings", "lengths"),
    [
        ({}, {"step": 40, "epoch": 10}),  # epochs of 4 steps
        ({"max_steps": 13}, {"step": 13, "epoch": 4}),
        ({"max_steps": 99}, {"step": 40, "epoch": 10}),
        ({"max_steps": 13, "max_epochs": -1}, {"step": 13, "epoch": 4}),
        ({"max_epochs": -1}, {"step": math.inf, "epoch": math.inf}),
        ({"batches": math.inf}, {"step": math.inf, "epoch": 10}),
        ({"batches": math.inf, "max_steps": 13}, {"step": 13, "epoch": math.inf}),
    ],
)
def test_run_ends_at_its_epochs_or_steps(
    settings: dict[str, Any], lengths: dict[str, float], interval: Interval
) -> None:
    trainer = build_trainer(**({"batches": 10, "accumulate_grad_batches": 3} | settings))
    assert run_length(trainer, interval) == lengths[interval]


def test_schedules_in_others_take_the_rest_of_the_run() -> None:
    first, middle, last = (partial(cls) for cls in (Poly, WarmupCosine, Poly))
    nested = Warmup(build_optimizer(), 10, partial(SequentialLR, schedulers=[first, middle, last], milestones=[20, 50]))
    set_totals(nested, lambda: 100, "step")
    assert [inner["total"] for inner in nested.state_dict()["_after"][0]["_schedulers"]] == [20, 30, 40]
    within = SequentialLR(build_optimizer(), [partial(Warmup, length=5, after=first), last], [20])
    set_totals(within, lambda: 100, "step")
    states = within.state_dict()["_schedulers"]
    assert (states[0]["_after"][0]["total"], states[1]["total"]) == (15, 80)
    given = Warmup(build_optimizer(), 10, partial(Poly, total=7))
    set_totals(given, lambda: math.inf, "step")
    assert given.state_dict()["_after"][0]["total"] == 7


def test_length_of_the_run_must_be_known_if_a_schedule_takes_it() -> None:
    for scheduler in (Poly(build_optimizer()), Warmup(build_optimizer(), 3, Poly)):
        with pytest.raises(ConfigError, match=r"^model\.scheduler needs `total`, in epochs, because the length of the"):
            set_totals(scheduler, lambda: math.inf, "epoch")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (partial(Warmup, length=100), "the warm-up of Warmup takes 100 steps, but 100 are left"),
        (partial(Warmup, length=99), None),
        (partial(WarmupCosine, warmup=120), "the warm-up of WarmupCosine takes 120 steps, but 100 are left"),
        (partial(Poly, warmup=9, total=9), "the warm-up of Poly takes 9 steps, but 9 are left"),
        (
            partial(Warmup, length=30, after=partial(Poly, warmup=70)),
            "the warm-up of Poly takes 70 steps, but 70 are left",
        ),
        (partial(Poly), None),
        (
            partial(SequentialLR, schedulers=[Poly, Poly], milestones=[100]),
            "Poly never starts: its milestone is 100 steps, and the run has 100",
        ),
        (partial(SequentialLR, schedulers=[Poly, Poly], milestones=[99]), None),
    ],
)
def test_schedule_that_the_run_is_too_short_for_is_warned_of(
    build: Any, message: str | None, messages: list[str]
) -> None:
    set_totals(build(build_optimizer()), lambda: 100, "step")
    assert messages == ([f"model.scheduler: {message}"] if message else [])
