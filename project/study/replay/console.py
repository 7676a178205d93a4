"""What the command `replay` prints: where it started from, what differs, and the steps in a few lines each."""

import math
from collections.abc import Sequence
from pathlib import Path

from project.core.errors import shorten, without_commands
from project.study.replay.batches import describe_sample
from project.study.replay.step_record import LoggedComparison, StepRecord
from project.study.replay.stretches import Stretch

_STEPS, _SAMPLES, _LINES = 4, 4, 4  # that are printed


def describe_start(stretch: Stretch) -> str:
    """Return what a replay starts from."""
    if stretch.checkpoint is not None:
        return stretch.checkpoint.path.name
    return "the start of the run"


def describe_steps(first: int, last: int) -> str:
    """Return `step 5`, or `steps 5 to 7`."""
    return f"step {first}" if first == last else f"steps {first} to {last}"


def describe_comparison(comparison: LoggedComparison) -> str:
    """Return whether the logged values are equal, in a sentence."""
    count, differing = comparison.compared, comparison.differing
    steps = describe_steps(comparison.first + 1, comparison.last)
    if comparison.verdict == "unproven":
        return f"unproven: the run logged no value at {steps} that the replay logged, too"
    if comparison.verdict == "equal":
        return "1 logged value: equal" if count == 1 else f"{count} logged values: all equal"
    name, step, there, here = differing[0]
    values = f"{there!r} there, {here!r} here"
    some = f"{len(differing)} of {count} values differ" if count > 1 else "the only logged value differs"
    return f"{some}, first {name} at step {step}: {values}"


def describe_record(record: StepRecord) -> list[str]:
    """Return a step in a few lines."""
    batches = ", ".join(map(str, record.batches))
    losses = ", ".join(f"{name} {_short(value)}" for name, value in list(record.losses.items())[:_LINES])
    what = "left out (skip_steps); nothing was computed" if record.skipped else losses or "no loss is known"
    lines = [f"step {record.step}, epoch {record.epoch}, batch {batches}: {what}"]
    with_losses = [sample for sample in record.samples[:_SAMPLES] if sample.losses]
    if with_losses:
        name = next(iter(with_losses[0].losses))
        shown = (f"{describe_sample(sample)} {_short(sample.losses[name])}" for sample in with_losses)
        lines.append(f"  largest {name} of samples: {', '.join(shown)}")
    elif record.losses and record.divides:
        lines.append("  losses of samples: no loss is the mean over its samples")
    marks, by_row = record.unusual_rows(), {sample.row: sample for sample in record.samples}
    for row, text in list(marks.items())[:_LINES]:
        lines.append(f"  unusual: {describe_sample(by_row[row]) if row in by_row else f'row {row}'}: {text}")
    gradients = [each for each in record.parameters if each.gradient_norm is not None]
    gradients.sort(key=lambda each: -_rank(each.gradient_norm))
    if gradients:
        shown = (f"{each.name} {_short(each.gradient_norm)}" for each in gradients[:_SAMPLES])
        lines.append(f"  largest gradients: {', '.join(shown)}")
    lines += [f"  not finite: {text}" for text in record.non_finite[:_LINES]]
    lines += [f"  {note}" for note in record.notes[:_LINES]]
    return [without_commands(shorten(line, 500)) for line in lines]


def describe_replay(
    records: Sequence[StepRecord], comparison: LoggedComparison, directory: Path, page: Path
) -> list[str]:
    """Return what a replay found, in lines."""
    lines = [without_commands(describe_comparison(comparison))]
    if comparison.only_run:
        names = ", ".join(comparison.only_run[:_LINES]) + (", ..." if len(comparison.only_run) > _LINES else "")
        lines.append(without_commands(f"not logged by the replay: {names}"))
    for record in records[:_STEPS]:
        lines += describe_record(record)
    if len(records) > _STEPS:
        lines.append(f"... and {len(records) - _STEPS} more steps")
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    return [*lines, without_commands(f"the page is {page} ({_megabytes(size)} with all files beside it)")]


def _rank(norm: float | None) -> float:
    """Return a key by which infinite and NaN norms are the largest."""
    return math.inf if norm is None or math.isnan(norm) else norm


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.0f} kB"
