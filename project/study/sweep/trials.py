"""Where the trials of a sweep come from."""

from dataclasses import dataclass
from typing import Protocol

from project.core.run.pruning import Pruning
from project.study.sweep.definition import Definition
from project.study.sweep.plan import Trial, grid_trials


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Args:
        state: finished, pruned or failed.
        value: mean over its runs of the best monitored value; None unless it finished.
    """

    state: str
    value: float | None


class Trials(Protocol):
    """Source of trials, shared by all workers. Its methods are called while the sweep is locked."""

    def known(self) -> list[Trial]:
        """Return the trials whose settings are decided, in their order."""

    def ask(self) -> Trial | None:
        """Decide the settings of a further trial; None if there are enough."""

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Record how a trial ended; called once for each, or again with the same outcome after a worker was killed."""

    def pruning(self, trial: Trial) -> Pruning | None:
        """Return what decides whether the first run of a trial ends early."""


class GridTrials:
    """All trials of a grid, known from the start.

    Args:
        definition: the sweep.
    """

    def __init__(self, definition: Definition) -> None:
        self.trials = grid_trials(definition)

    def known(self) -> list[Trial]:
        """Return all trials."""
        return self.trials

    def ask(self) -> Trial | None:
        """Return None: there are no others."""
        return None

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Do nothing: the run directories say how a trial ended."""

    def pruning(self, trial: Trial) -> Pruning | None:
        """Return None: no run ends early."""
        return None
