"""Differences between the outputs and metrics of a checkpoint and of an exported file."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from project.core.data.tensors import Tensors, describe_shapes

_OUTPUTS = 1e-4  # allowed difference of floats, relative to the largest absolute value, which counts as 1 at least
_METRICS = 1e-5  # allowed difference of a metric, relative to its absolute value, which counts as 1 at least


@dataclass(frozen=True)
class OutputDifference:
    """The largest difference between two values of an output.

    Args:
        largest: the difference.
        allowed: the largest difference that is allowed.
        excess: the difference as a multiple of what is allowed; infinite for NaN, integers and other shapes.
        where: the sample.
        problem: what is wrong, if no number says it.
    """

    largest: float
    allowed: float
    excess: float
    where: str
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.problem or f'differs by {self.largest:.3g} (allowed: {self.allowed:.3g})'} {self.where}"


def metrics_differ(expected: float, value: float) -> bool:
    """Return whether two values of a metric differ by more than rounding does."""
    if not (math.isfinite(expected) and math.isfinite(value)):
        return expected != value and not (math.isnan(expected) and math.isnan(value))
    return abs(expected - value) > _METRICS * max(1.0, abs(expected))


def differ(expected: Tensors, values: Tensors, locate: Callable[[int], str]) -> dict[str, OutputDifference]:
    """Return the largest difference of each output.

    Floats may differ by rounding; NaN and infinity are equal to themselves only. Integers are equal, except where they
    are the index of the highest of some scores, and the scores of both are the highest up to rounding.

    Args:
        expected: outputs of the checkpoint, by name.
        values: outputs of the file.
        locate: returns where a row of the batch comes from.
    """
    return {name: _differ(value, values[name], expected, locate) for name, value in expected.items()}


def _differ(
    expected: Tensor, value: Tensor, outputs: Mapping[str, Tensor], locate: Callable[[int], str]
) -> OutputDifference:
    if expected.shape != value.shape or expected.dtype != value.dtype:
        problem = f"is {describe_shapes({'': value}).strip()} in place of {describe_shapes({'': expected}).strip()}"
        return OutputDifference(math.inf, 0.0, math.inf, locate(0), problem)
    if not expected.numel():
        return OutputDifference(0.0, 0.0, 0.0, locate(0))
    allowed = _allowed(expected) if expected.is_floating_point() else 0.0
    one, two = expected.double(), value.double()
    is_equal = (one == two) | (one.isnan() & two.isnan())
    difference = (one - two).abs().masked_fill(is_equal, 0.0).nan_to_num(nan=math.inf, posinf=math.inf)
    if expected.is_floating_point():
        excess = difference / allowed
    else:
        excess = torch.zeros_like(difference).masked_fill(~is_equal & ~_are_tied(expected, value, outputs), math.inf)
    worst = int(excess.argmax()) if excess.max() > 0 else int(difference.argmax())
    row = worst // max(1, expected[0].numel()) if expected.ndim else 0
    return OutputDifference(float(difference.max()), allowed, float(excess.max()), locate(row))


def _allowed(expected: Tensor) -> float:
    finite = expected[expected.isfinite()].abs()
    return _OUTPUTS * max(1.0, float(finite.max()) if finite.numel() else 1.0)


def _are_tied(expected: Tensor, value: Tensor, outputs: Mapping[str, Tensor]) -> Tensor:
    """Return where two integers are indices of scores that are the highest up to rounding."""
    are_tied = torch.zeros_like(expected, dtype=torch.bool)
    for scores in outputs.values():
        is_shape_of_scores = scores.ndim == expected.ndim + 1 and (len(scores), *scores.shape[2:]) == expected.shape
        if not (scores.is_floating_point() and is_shape_of_scores):
            continue
        lowest = scores.amax(1) - _allowed(scores)
        tied = torch.ones_like(are_tied)
        for index in (expected.long(), value.long()):
            inside = index.clamp(0, scores.shape[1] - 1)
            tied &= (index == inside) & (scores.gather(1, inside.unsqueeze(1)).squeeze(1) >= lowest)
        are_tied |= tied
    return are_tied
