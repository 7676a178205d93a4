"""Runs on different numbers of processes, which add in another order: equal within rounding, or not comparable."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from project.core.errors import ConfigError
from project.study.bisect.recorded import Array, Exactly
from project.study.bisect.state import State
from project.study.bisect.surroundings import Source

# Largest relative difference after few steps, and after many: as measured between machines that add in another order
# (3e-7 and 2e-3), with a margin. Differences of rounding grow with the steps.
_FEW, _EARLY, _LATE = 5, 1e-5, 1e-2
_OF_ONE_PROCESS = "train/"  # losses of a step, of which the first process logs those of its own part of the batch
_BATCH_NORM = re.compile(r"\.running_(mean|var)$")
_DROPOUT = re.compile(r"drop|stochastic_depth", re.IGNORECASE)


class WithinRounding(Exactly):
    """Equality within a relative tolerance: of a tensor, of the norm of its difference to its norm."""

    def compares(self, name: str) -> bool:
        return not name.startswith(_OF_ONE_PROCESS)

    def values(self, steps: Array, one: Array, two: Array) -> Array:
        largest = np.maximum(np.abs(one), np.abs(two))
        tolerance = np.where(steps <= _FEW, _EARLY, _LATE)
        is_close = np.abs(one - two) <= tolerance * largest
        return np.asarray(~(is_close | (np.isnan(one) & np.isnan(two))))

    def states(self, step: int, one: State, two: State) -> list[str]:
        return [
            name for name in one if name in two and name.startswith("weight ") and self._differ(step, one, two, name)
        ]

    def _differ(self, step: int, one: State, two: State, name: str) -> bool:
        first, second = (
            (each[name].double() if isinstance(each[name], Tensor) else torch.zeros(())) for each in (one, two)
        )
        tolerance = _EARLY if step <= _FEW else _LATE
        return not bool((first - second).norm() <= tolerance * torch.maximum(first.norm(), second.norm()))


TOLERANCE = f"relative difference of {_EARLY:g} up to step {_FEW}, {_LATE:g} later"


def check_comparable(sources: Sequence[Source], state: Mapping[str, Any]) -> None:
    """Check that what runs on different numbers of processes compute differs only by rounding.

    Args:
        sources: what the runs were computed from.
        state: the trained state of one of them.

    Raises:
        ConfigError: it differs by more.
    """
    counts = " and ".join(str(source.processes) for source in sources)
    batch_norm = next((name for name in state if _BATCH_NORM.search(name)), None)
    is_synchronized = all(source.settings.get("trainer.sync_batchnorm") for source in sources)
    if batch_norm is not None and not is_synchronized:
        raise ConfigError(
            f"the runs trained on {counts} processes, which cannot be compared: each process normalizes its own part "
            f"of the batch ({batch_norm.removeprefix('weight ')})"
        )
    for source in sources:
        drawn = next((path for path, value in source.settings.items() if _draws(path, value)), None)
        if drawn is not None:
            raise ConfigError(
                f"the runs trained on {counts} processes, which cannot be compared: each process draws its own random "
                f"numbers ({drawn})"
            )


def _draws(path: str, value: object) -> bool:
    """Return whether a setting of the model makes a step draw random numbers: dropout, or transforms of batches."""
    is_dropout = (
        path.startswith("model.net.") and _DROPOUT.search(path) and isinstance(value, float | int) and value > 0
    )
    return bool(is_dropout) or (path.startswith("data.batch_augmentation.") and value is not None)
