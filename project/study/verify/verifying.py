"""Verification of a run: segments, trained again."""

import os
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytorch_lightning as pl

from project.core.log import is_rank_zero
from project.core.run.checkpoint_files import list_by_step, load_checkpoint
from project.core.run.state_digest import state_leaves
from project.study.replay.logged import compare_logged
from project.study.replay.replaying import Replayed, StepNotReached, replay_steps
from project.study.verify.comparing import StateComparison
from project.study.verify.known_states import RunRecord, Steps

_IS_LAST_BATCH = "loops.fit_loop.epoch_loop.batch_progress.is_last_batch"
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
        trainer: the trainer of the replay.
    """

    steps: Steps
    seconds: float = 0.0
    states: int = 0
    values: int = 0
    differences: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    trainer: pl.Trainer | None = None


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
        # Means of the epoch in which a replay starts lack the steps before.
        left_out = comparison.first_epoch_end if _starts_within_epoch(record, segment.first) else None
        result.values, differing = _compare_logged(record, replayed, left_out)
        result.differences = [*comparison.differences, *differing]
        result.warnings, result.trainer = replayed.warnings, replayed.trainer
    result.states, result.seconds = len(comparison.compared), time.monotonic() - started
    return result


def _compare_logged(record: RunRecord, replayed: Replayed, left_out: int | None) -> tuple[int, list[str]]:
    """Return how many logged values were compared, and texts on those that differ, except in one step."""
    logged = compare_logged(record.path, replayed)
    differing = [each for each in logged.differing if each[0].startswith(_LOGGED) and each[1] != left_out]
    return logged.compared, [
        f"in step {step}: {name} is {own:.9g}, and trained again {again:.9g}" for name, step, own, again in differing
    ]


def _starts_within_epoch(record: RunRecord, step: int) -> bool:
    """Return whether the checkpoint of a step was saved before the end of its epoch."""
    found = [path for path, saved in list_by_step(record.path / "checkpoints").items() if saved == step]
    return bool(found) and not state_leaves(load_checkpoint(found[0]).content).get(_IS_LAST_BATCH, False)
