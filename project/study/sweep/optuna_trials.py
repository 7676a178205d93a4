"""Trials whose values optuna draws, or whose runs its pruners end. Imported only where optuna is needed."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from project.core.errors import ConfigError
from project.core.run.pruning import Pruning
from project.study.sweep.definition import Choice, Definition, Number
from project.study.sweep.journal import Journal
from project.study.sweep.plan import Trial, grid_trials
from project.study.sweep.pruners import StudyPruning
from project.study.sweep.trials import Outcome


class OptunaTrials:
    """Trials of a space, drawn by optuna's TPE sampler, or of a grid whose runs may be pruned.

    All that is decided of a trial is written to the journal as one record. Which values trial N gets depends only on
    the definition, on N, and on what the journal says of the other trials, so that a worker that was killed at any
    time draws the same values when it starts again.

    A failed trial remains open in the journal: the sampler avoids it, and `--retry_failed` can still complete it.

    Args:
        definition: the sweep.
        file: the journal, in a directory that exists when a trial is asked for or told.
    """

    def __init__(self, definition: Definition, file: Path) -> None:
        self.definition, self.file = definition, file
        self._grid = grid_trials(definition) if definition.grid else None
        self._opened: tuple[int, Journal] | None = None

    def known(self) -> list[Trial]:
        """Return all trials of a grid, and those trials of a space whose values are drawn."""
        if self._grid is not None:
            return self._grid
        if not self.file.exists():
            return []
        return [Trial(each.number, self._settings(each)) for each in self._journal.trials()]

    def ask(self) -> Trial | None:
        """Draw the values of a further trial; None if there are enough."""
        if self._grid is not None or len(trials := self._journal.trials()) >= self.definition.trials:
            return None
        trial = draw(self.definition, self._journal.study, len(trials))
        self._journal.study.add_trial(trial)
        return Trial(len(trials), self._settings(trial))

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Record how a trial ended; one without a value, whose runs diverged, counts as pruned."""
        self._add_grid_trials(trial.number)
        if outcome.state == "failed" or self._journal.trials()[trial.number].state.is_finished():
            return
        if outcome.state == "finished" and outcome.value is not None and not math.isnan(outcome.value):
            self._journal.study.tell(trial.number, outcome.value)
        else:
            self._journal.study.tell(trial.number, state=TrialState.PRUNED)

    def pruning(self, trial: Trial) -> Pruning | None:
        """Return what decides whether the first run of a trial ends early; None without a pruner."""
        if self.definition.pruner is None:
            return None
        self._add_grid_trials(trial.number)
        return StudyPruning(self.definition, self.file, trial.number)

    @property
    def _journal(self) -> Journal:
        """The journal, opened in this process: optuna takes the records of a forked one for its own."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), Journal(self.file, self.definition))
        return self._opened[1]

    def _settings(self, trial: FrozenTrial) -> dict[str, Any]:
        space = self.definition.space
        known = {path: _distribution(parameter) for path, parameter in space.items() if path in trial.distributions}
        if known != trial.distributions:
            raise ConfigError(f"{self.file} is that of another sweep: trial {trial.number} has other settings")
        return {
            path: parameter.values[trial.params[path]] if isinstance(parameter, Choice) else trial.params[path]
            for path, parameter in space.items()
            if path in trial.params
        }

    def _add_grid_trials(self, number: int) -> None:
        """Add the trials of a grid up to a number, which have that number in the journal, too."""
        if self._grid is not None:
            for trial in self._grid[len(self._journal.trials()) : number + 1]:
                self._journal.study.add_trial(_fixed_trial(self.definition, trial))


def draw(definition: Definition, study: Study, number: int) -> FrozenTrial:
    """Return a trial of a space, which is not yet in the study.

    Each trial has a seed of its own: two workers, or one that was started again, would draw the same values from one.
    A trial that another worker trains counts as a bad one, so that the next is not drawn beside it.

    Args:
        definition: the sweep.
        study: contains the other trials.
        number: number of the trial.
    """
    first_seed = definition.seeds[0] if definition.seeds else 0
    seed = int(np.random.SeedSequence([first_seed, number]).generate_state(1)[0])
    sampler = TPESampler(seed=seed, constant_liar=True)
    settings: dict[str, Any] = {}
    trial = create_trial(state=TrialState.RUNNING)
    for path, parameter in definition.space.items():  # each follows those that its `when` names
        if all(name in settings and settings[name] == value for name, value in parameter.when.items()):
            distribution = _distribution(parameter)
            drawn = sampler.sample_independent(study, trial, path, distribution)
            settings[path] = parameter.values[drawn] if isinstance(parameter, Choice) else drawn
            trial = create_trial(
                state=TrialState.RUNNING,
                params=trial.params | {path: drawn},
                distributions=trial.distributions | {path: distribution},
            )
    return trial


def _distribution(parameter: Choice | Number) -> BaseDistribution:
    """Return optuna's form of a parameter; a choice is stored as its index, because its values may be anything."""
    if isinstance(parameter, Choice):
        return CategoricalDistribution(range(len(parameter.values)))
    if parameter.is_int:
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.is_log)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.is_log)


def _fixed_trial(definition: Definition, trial: Trial) -> FrozenTrial:
    """Return a trial of a grid in optuna's form."""
    indices = {
        path: next(index for index, each in enumerate(definition.grid[path]) if each is value)
        for path, value in trial.settings.items()
    }
    distributions: dict[str, BaseDistribution] = {
        path: CategoricalDistribution(range(len(values))) for path, values in definition.grid.items()
    }
    return create_trial(state=TrialState.RUNNING, params=indices, distributions=distributions)
