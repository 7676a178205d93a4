"""Where the trials of a sweep come from."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from project.core.config.references import ReferenceResolver
from project.core.config.yaml_files import Tree
from project.core.errors import ConfigError, missing_package
from project.core.run.pruning import Pruning
from project.study.sweep.definition import Definition
from project.study.sweep.plan import Trial, grid_trials

JOURNAL = "trials.journal"  # file of optuna


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


def choose_trials(definition: Definition, state: Path, experiment: Tree) -> Trials:
    """Return the source of the trials of a sweep.

    Args:
        definition: the sweep.
        state: directory of what the sweep itself keeps, in which the journal of optuna is.
        experiment: the merged tree of the experiment, whose mode holds for a sweep without a monitor of its own.

    Raises:
        ConfigError: a space or a pruner needs optuna, which is not installed.
    """
    if not definition.space and definition.pruner is None:
        return GridTrials(definition)
    try:
        from project.study.sweep.optuna_trials import OptunaTrials
    except ImportError as error:
        if missing_package(error) is None:
            raise
        key = "space" if definition.space else "pruner"
        raise ConfigError(f"`{key}` needs the package optuna: pip install -c constraints.txt -e '.[sweep]'") from error
    if definition.monitor is None:
        checkpoint = ReferenceResolver(experiment).resolve("checkpoint").get("checkpoint") or {}
        definition = replace(definition, mode=checkpoint.get("mode", "min"))
    return OptunaTrials(definition, state / JOURNAL)
