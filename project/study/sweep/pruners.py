"""Which runs a sweep ends early, decided by optuna's pruners."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from project.study.sweep.definition import Definition
from project.study.sweep.journal import DIRECTIONS, STUDY, Journal

# Stored: the start of the keys of decisions, and the keys in them.
_DECISION, _REASON, _MARKS = "decision:", "reason", "marks"


class StudyPruning:
    """Pruning of a run by the values of the other trials in the journal.

    Args:
        definition: the sweep.
        file: the journal.
        number: number of the run's trial.
    """

    def __init__(self, definition: Definition, file: Path, number: int) -> None:
        self.definition, self.file, self.number = definition, file, number

    def reports(self, step: int, value: float) -> str | None:
        """Record a value; return why the training ends, None if it continues.

        A run that was killed and resumed reports a step again, with the same value, and gets the same answer.

        Args:
            step: number of optimizer steps done.
            value: the monitored value.
        """
        storage, key = self._journal.storage, f"{_DECISION}{step}"
        trial_id = self._journal.trial_id(self.number)
        trial = storage.get_trial(trial_id)
        is_repeated = _are_equal(trial.intermediate_values.get(step), value)
        if is_repeated and key in trial.user_attrs:
            reason: str | None = trial.user_attrs[key][_REASON]
            return reason
        if trial.state.is_finished():  # trained again, for whatever reason
            return None
        if not is_repeated:
            storage.set_trial_intermediate_value(trial_id, step, value)
        reason, marks = decide(self.definition, self._journal.trials(), self.number, step)
        storage.set_trial_user_attr(trial_id, key, {_REASON: reason, _MARKS: marks})
        return reason

    @cached_property
    def _journal(self) -> Journal:
        return Journal(self.file, self.definition)


def decide(
    definition: Definition, trials: Sequence[FrozenTrial], number: int, step: int
) -> tuple[str | None, dict[str, Any]]:
    """Return why a trial ends after a step, None if it continues, and what the pruner marks it with.

    The pruner sees a copy of the study in which a step is the number of a validation: the first, second, ... of all
    trials are compared, also if their batch sizes, and with them their numbers of steps, differ. It marks trials in
    the copy; the marks are recorded together with the decision, so that a kill cannot part them.

    Args:
        definition: the sweep.
        trials: all trials.
        number: number of the trial.
        step: the step; what the trial reported of later ones, before a kill, does not count.
    """
    pruner: BasePruner = MedianPruner() if definition.pruner == "median" else HyperbandPruner()
    study = optuna.create_study(study_name=STUDY, direction=DIRECTIONS[definition.mode], pruner=pruner)
    for trial in trials:
        study.add_trial(_comparable(trial, step if trial.number == number else math.inf))
    before = study.trials[number]
    if not pruner.prune(study, before):
        return None, _new_marks(study, before)
    last = max(before.intermediate_values)
    if definition.pruner == "hyperband":
        why = f"it is not among the best third of its hyperband bracket at validation {last}"
        return why, _new_marks(study, before)
    others = study.get_trials(states=(TrialState.COMPLETE,))
    values = [each.intermediate_values[last] for each in others if last in each.intermediate_values]
    best = (np.nanmin if definition.mode == "min" else np.nanmax)([*before.intermediate_values.values()])
    compared = f"the median of {len(values)} trials is {np.nanmedian(values):.4g} at validation {last}"
    return f"{compared}, and the best value of this one {best:.4g}", {}


def _comparable(trial: FrozenTrial, step: float) -> FrozenTrial:
    """Return what a pruner needs of a trial until a step, with the numbers of validations in place of steps."""
    steps = [each for each in sorted(trial.intermediate_values) if each <= step]
    marks: dict[str, Any] = {}
    for each in steps:
        if each < step:
            marks |= trial.user_attrs.get(f"{_DECISION}{each}", {}).get(_MARKS, {})
    return create_trial(
        state=trial.state,
        value=trial.value,
        system_attrs=marks,
        intermediate_values={index + 1: trial.intermediate_values[each] for index, each in enumerate(steps)},
    )


def _new_marks(study: optuna.Study, before: FrozenTrial) -> dict[str, Any]:
    after = study.trials[before.number].system_attrs
    return {name: value for name, value in after.items() if name not in before.system_attrs}


def _are_equal(first: float | None, second: float) -> bool:
    return first is not None and (first == second or (math.isnan(first) and math.isnan(second)))
