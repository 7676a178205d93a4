"""Differences between the outputs and metrics of a checkpoint and of an exported file."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from project.core.data.tensors import Tensors, describe_shapes

_OUTPUTS = 1e-4  # allowed difference of floats, relative to the largest absolute value of their channel, at least 1
_TIES = 1e-6  # the same for the score that an index is of: an argmax after a softmax rounds the scores
_METRICS = 1e-5  # allowed difference of a metric, relative to its absolute value, which counts as 1 at least


@dataclass(frozen=True)
class OutputDifference:
    """The differences between two values of an output.

    Args:
        largest: the largest difference.
        excess: the worst difference as a multiple of what is allowed; infinite for NaN, integers and other shapes.
        problem: the worst difference in words.
    """

    largest: float
    excess: float
    problem: str

    def merge(self, other: "OutputDifference") -> "OutputDifference":
        """Return the differences of two batches as one."""
        worst = max(self, other, key=lambda each: each.excess)
        return replace(worst, largest=max(self.largest, other.largest))


def metrics_differ(expected: float, value: float) -> bool:
    """Return whether two values of a metric differ by more than rounding does."""
    if not (math.isfinite(expected) and math.isfinite(value)):
        return expected != value and not (math.isnan(expected) and math.isnan(value))
    return abs(expected - value) > _METRICS * max(1.0, abs(expected))


def differ(
    expected: Tensors, values: Tensors, size: int, locate: Callable[[int | None], str]
) -> dict[str, OutputDifference]:
    """Return the differences of each output.

    Floats may differ by rounding; NaN and infinity are equal to themselves only. Integers are equal, except where they
    are the index of the highest of some scores, and the scores of both are the highest up to rounding.

    Args:
        expected: outputs of the checkpoint, by name.
        values: outputs of the file.
        size: number of samples in the batch.
        locate: returns where a row of the batch comes from; of None, where the batch does.
    """
    return {name: _differ(name, expected, values, size, locate) for name in expected}


def _differ(
    name: str, outputs: Tensors, others: Tensors, size: int, locate: Callable[[int | None], str]
) -> OutputDifference:
    expected, value = outputs[name], others[name]
    if expected.shape != value.shape or expected.dtype != value.dtype:
        problem = f"is {describe_shapes({'': value}).strip()} in place of {describe_shapes({'': expected}).strip()}"
        return OutputDifference(math.inf, math.inf, f"{problem} {locate(None)}")
    if not expected.numel():
        return OutputDifference(0.0, 0.0, "")
    is_float = expected.is_floating_point() or expected.is_complex()
    allowed = _allowed(expected) if is_float else torch.zeros(())
    is_equal = (expected == value) | (expected.isnan() & value.isnan())
    wide = torch.complex128 if expected.is_complex() else torch.float64
    difference = (expected.to(wide) - value.to(wide)).abs().masked_fill(is_equal, 0.0)
    difference = difference.nan_to_num(nan=math.inf, posinf=math.inf)
    if is_float:
        excess = difference / allowed
    else:
        are_tied = _are_tied(expected, value, outputs, others)
        excess = torch.zeros_like(difference).masked_fill(~is_equal & ~are_tied, math.inf)
    worst = int(excess.argmax())
    has_rows = expected.ndim > 0 and len(expected) == size
    where = locate(worst // expected[0].numel() if has_rows else None)
    found, limit = difference.flatten()[worst], allowed.expand(expected.shape).flatten()[worst]
    problem = f"differs by {float(found):.3g} (allowed: {float(limit):.3g}) {where}"
    return OutputDifference(float(difference.max()), float(excess.max()), problem)


def _allowed(expected: Tensor) -> Tensor:
    """Return the allowed difference of each channel of floats `(B, C, ...)`: channels may be of different units."""
    finite = expected.abs().double().nan_to_num(nan=0.0, posinf=0.0)
    others = [dimension for dimension in range(expected.ndim) if dimension != 1]
    return _OUTPUTS * finite.amax(others, keepdim=True).clamp(min=1.0)


def _are_tied(expected: Tensor, value: Tensor, outputs: Tensors, others: Tensors) -> Tensor:
    """Return where two integers are indices of scores that are the highest up to rounding."""
    are_tied = torch.zeros_like(expected, dtype=torch.bool)
    for name, scores in outputs.items():
        other = others[name]
        if not (scores.is_floating_point() and scores.ndim > 1 and scores.shape[1] and other.shape == scores.shape):
            continue
        highest = scores.amax(1, keepdim=True)
        if expected.shape not in (highest.shape, highest.squeeze(1).shape):
            continue
        one, two = expected.reshape(highest.shape).long(), value.reshape(highest.shape).long()
        # Other tensors of this shape, of which the integers are no indices, excuse nothing.
        allowed = float(_allowed(scores).max())
        tiny = allowed * _TIES / _OUTPUTS
        if _are_highest(one, scores, tiny).all() and _are_highest(two, other, tiny).all():
            are_tied |= _are_highest(two, scores, allowed).reshape(expected.shape)
    return are_tied


def _are_highest(index: Tensor, scores: Tensor, allowed: float) -> Tensor:
    """Return where an index `(B, 1, ...)` is that of a score `(B, K, ...)` which is the highest up to a difference."""
    inside = index.clamp(0, scores.shape[1] - 1)
    return (index == inside) & (scores.gather(1, inside) >= scores.amax(1, keepdim=True) - allowed)
