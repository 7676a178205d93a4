"""What is unusual about parameters and activations: rows of tables to look at first."""

import math
from collections.abc import Sequence

from project.study.replay.step_record import ActivationRecord, ParameterRecord, is_far, usual


def mark_parameters(records: Sequence[ParameterRecord]) -> list[str]:
    """Return for each parameter what is unusual about it; empty if nothing is."""
    typical = usual(record.update_ratio for record in records)
    return [_mark_parameter(record, typical) for record in records]


def mark_activations(records: Sequence[ActivationRecord]) -> list[str]:
    """Return for each output of a module what is unusual about it; empty if nothing is."""
    return [_mark_activation(record) for record in records]


def _mark_parameter(record: ParameterRecord, typical: float | None) -> str:
    gradient, ratio = record.gradient_norm, record.update_ratio
    if not all(math.isfinite(value) for value in (record.norm, gradient or 0.0)):
        return "not finite"
    if gradient is None:
        return "no gradient"
    if gradient == 0:
        return "gradient is 0"
    if ratio == 0:
        return "no update"
    if typical and ratio and math.isfinite(ratio):
        if is_far(ratio, typical):
            return f"{_round(ratio / typical)} times the median"
        if is_far(typical, ratio):
            return f"1/{_round(typical / ratio)} of the median"
    return ""


def _mark_activation(record: ActivationRecord) -> str:
    if record.non_finite:
        return f"{record.non_finite} not finite"
    if record.zeros >= 1:
        return "all are 0"
    return "constant" if record.std == 0 and math.prod(record.shape) > 1 else ""


def _round(factor: float) -> str:
    return f"{float(f'{factor:.2g}'):,.0f}"
