"""Verification of a run: segments, trained again."""

import os
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from project.core.log import is_rank_zero
from project.core.run.environment import describe_environment
from project.core.run.git import read_git
from project.study.events import read_curves
from project.study.replay.logged import compare_logged
from project.study.replay.replaying import Replayed, StepNotReached, replay_steps
from project.study.verify.comparing import StateComparison
from project.study.verify.known_states import RunRecord, Steps

_LOGGED = ("train/", "val/", "eval/", "lr-")  # other curves may be times
_SEED = "VERIFY_SEED"  # environment variable
_SHARE = 10  # of the steps of the run: this part is verified by default


@dataclass
class Verified:
    """A segment that was trained again.

    Args:
        steps: the segment.
        seconds: how long that took.
        states: number of states that were compared.
        values: number of logged values that were compared.
        differences: what differs, first difference first.
        warnings: why values may differ from those of the run.
        missed: names of logged values of the run, none of which the replay logged.
        environment: what environment.json would say of this machine; None if the segment does not exist.
    """

    steps: Steps
    seconds: float = 0.0
    states: int = 0
    values: int = 0
    differences: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    missed: set[str] = field(default_factory=set)
    environment: dict[str, Any] | None = None


def choose_segments(segments: Sequence[Steps], budget: int | None) -> list[Steps]:
    """Return segments to verify, in the order of their steps: as many as always fit, at least one.

    Each is chosen with the same probability, whatever its length, by random numbers that nobody can predict: the number
    is such that even the longest ones fit.

    Args:
        segments: all segments.
        budget: number of steps; None takes a tenth of all.
    """
    total = sum(segment.number for segment in segments)
    budget = max(1, total // _SHARE) if budget is None else budget
    lengths, number = sorted((segment.number for segment in segments), reverse=True), 0
    while number < len(lengths) and sum(lengths[: number + 1]) <= budget:
        number += 1
    chosen = _random().sample(range(len(segments)), max(1, number))
    return [segments[index] for index in sorted(chosen)]


def _random() -> random.Random:
    """Return random numbers that nobody can predict, and that are the same in all processes of a replay."""
    if is_rank_zero():
        os.environ[_SEED] = secrets.token_hex(32)  # for the processes that the replay starts
    return random.Random(os.environ[_SEED])


def verify_segments(record: RunRecord, segments: Sequence[Steps], trusts: bool) -> Iterator[Verified]:
    """Train segments again, each from the state that the run recorded, and yield the results.

    Args:
        record: what the run has recorded.
        segments: the segments.
        trusts: whether its configuration may name any class.

    Raises:
        ConfigError: the run cannot be replayed.
    """
    for segment in segments:
        yield _verify(record, segment, trusts)


def _verify(record: RunRecord, segment: Steps, trusts: bool) -> Verified:
    started = time.monotonic()
    states = {step: state for step, state in record.states.items() if segment.first < step <= segment.last}
    comparison, result = StateComparison(record.path, states), Verified(segment)
    try:
        replayed = replay_steps(record.path, segment.first + 1, segment.last, [comparison], trust=trusts)
    except StepNotReached as error:
        result.differences = [*comparison.differences, str(error)]
    else:
        result.values, differing = _compare_logged(record, replayed)
        result.differences = [*comparison.differences, *differing]
        result.warnings = replayed.warnings
        result.missed = {name for name in read_curves(record.path) if name.startswith(_LOGGED)} - {*replayed.curves}
        if replayed.trainer is not None:  # it is not kept: each holds a net and its optimizers
            result.environment = describe_environment(replayed.trainer, read_git())
    result.states, result.seconds = len(comparison.compared), time.monotonic() - started
    return result


def _compare_logged(record: RunRecord, replayed: Replayed) -> tuple[int, list[str]]:
    """Return how many logged values were compared, and texts on those that differ."""
    logged = compare_logged(record.path, replayed)
    differing = [each for each in logged.differing if each[0].startswith(_LOGGED)]
    return logged.compared, [
        f"in step {step}: {name} is {own:.9g}, and trained again {again:.9g}" for name, step, own, again in differing
    ]
