"""A worker: claims a run that no other worker holds, trains it, and claims the next."""

import os
import re
import signal
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger

from project.core.cli.main import LOST_PROCESS
from project.core.config.yaml_files import Tree
from project.core.distributed.signals import PREEMPTED
from project.core.errors import shorten
from project.core.run.pruning import Pruning
from project.study.columns import short_names
from project.study.sweep.definition import Definition
from project.study.sweep.directory import DONE, SweepDirectory
from project.study.sweep.out_of_fold import finish
from project.study.sweep.plan import PlannedRun, Trial, options_of, runs_of, shown_value
from project.study.sweep.process import Children, run_stage
from project.study.sweep.ranks import Ranks
from project.study.sweep.trials import Outcome, Trials

CTRL_C = 128 + signal.SIGINT
_MAX_REASON = 300  # characters
# Matched: the lines with which a stage says why it failed, without traceback or with one.
_REASON = re.compile(
    r"^(?:\[rank \d+\] )?(?:error: |\d\d:\d\d:\d\d ERROR +(?! *raised in )|(?=[\w.]*(?:Error|Exception)\b))(.+)$", re.M
)


@dataclass
class Sweep:
    """A sweep that is being worked on.

    Args:
        definition: what SWEEP.yaml contains.
        directory: directory of its runs.
        experiment: the merged tree of the experiment's yaml and options.
        options: the options of the experiment, for `fit`: its --config files and settings.
        trials: where trials come from.
        digests: of the code and data with which runs begin now.
    """

    definition: Definition
    directory: SweepDirectory
    experiment: Tree
    options: list[str]
    trials: Trials
    digests: Mapping[str, str] = field(default_factory=dict)

    def runs_of(self, trial: Trial) -> list[PlannedRun]:
        """Return the runs of a trial."""
        return [*runs_of(trial, self.definition)]

    def runs(self) -> Iterator[PlannedRun]:
        """Yield the runs of all trials whose settings are decided."""
        for trial in self.trials.known():
            yield from self.runs_of(trial)

    def count_undrawn(self) -> int:
        """Return the number of runs of the trials of a space that are not drawn yet."""
        trials = max(0, self.definition.trials - len(self.trials.known()))
        return trials * max(1, len(self.definition.seeds)) * max(1, self.definition.folds)

    def has_test(self, run: PlannedRun) -> bool:
        """Return whether a run has data for the stage test."""
        data = self.experiment.get("data")
        swept = any(path.startswith("data.eval") for path in run.trial.settings)
        return swept or (isinstance(data, dict) and bool(data.get("eval")))


class Worker:
    """Trains runs of a sweep, one at a time.

    Args:
        sweep: the sweep.
        children: passes signals on to the run that trains; None passes none.
        ranks: the processes that train each run; None for this one alone.
    """

    def __init__(self, sweep: Sweep, children: Children | None = None, ranks: Ranks | None = None) -> None:
        self.ranks = ranks
        self.sweep, self.children = sweep, children or Children()
        self._states: dict[str, str] = {}  # of runs for which nothing is left to do, by name
        self._begun: set[str] = set()  # names of runs of which a file may say that they are done
        self._told: set[int] = set()  # numbers of trials that are complete
        self._runs: dict[int, list[PlannedRun]] = {}  # of each trial, by its number: they are asked for at each claim

    def work(self) -> int:
        """Train runs until none can be claimed; return 0, or 75 or 130 if a signal stopped the worker.

        If the results of a cross-validation cannot be written, it is 1.
        """
        worst = 0
        while not self.children.number and (claimed := self._claim()) is not None:
            run, lock = claimed
            try:
                code = self._train(run)
            finally:
                os.close(lock)
            if code in (PREEMPTED, CTRL_C):
                return code
            if code == 0:
                worst = max(worst, self._finish_folds(run.trial))
        for trial in self.sweep.trials.known() if not self.children.number else ():
            worst = max(worst, self._finish_folds(trial))  # if a worker was killed before it could
        return (CTRL_C if self.children.number == signal.SIGINT else PREEMPTED) if self.children.number else worst

    def _finish_folds(self, trial: Trial) -> int:
        """Write the results of a cross-validation if all folds are finished; return 1 if that failed."""
        definition, directory = self.sweep.definition, self.sweep.directory
        seeds = definition.seeds or (None,)
        codes = [finish(definition, directory, trial, seed, self.children) for seed in seeds if definition.folds]
        return int(any(codes))

    def _claim(self) -> tuple[PlannedRun, int] | None:
        """Lock a run for which something is left to do; decide a further trial if there is none."""
        trials, directory = self.sweep.trials, self.sweep.directory
        with directory.locked():
            self._begun = directory.begun()
            known: list[Trial] = trials.known()
            while True:
                for trial in self._open_trials(known):
                    for run in self._open_runs(trial):
                        if (lock := directory.claim(run)) is None:
                            continue
                        if directory.state(run) not in DONE:  # another worker may just have ended it
                            return run, lock
                        os.close(lock)
                    self._tell(trial)
                if (asked := trials.ask()) is None:
                    return None
                known = [asked]

    def _open_trials(self, trials: list[Trial]) -> list[Trial]:
        """Return the trials that were not complete when they were looked at last."""
        return [trial for trial in trials if trial.number not in self._told]

    def _runs_of(self, trial: Trial) -> list[PlannedRun]:
        if trial.number not in self._runs:
            self._runs[trial.number] = self.sweep.runs_of(trial)
        return self._runs[trial.number]

    def _open_runs(self, trial: Trial) -> list[PlannedRun]:
        """Return the runs of a trial for which something is left to do.

        With a pruner, the other runs of a trial wait until the first has finished: it speaks for all.
        """
        runs = self._runs_of(trial)
        for run in runs:
            is_open = run.name in self._begun and run.name not in self._states
            if is_open and (state := self.sweep.directory.state(run)) in DONE:
                self._states[run.name] = state
        states = [self._states.get(run.name) for run in runs]
        others_wait = self.sweep.definition.pruner is not None and states[0] != "finished"
        startable = [] if "pruned" in states else runs[:1] if others_wait else runs
        return [run for run in startable if run.name not in self._states]

    def _tell(self, trial: Trial) -> None:
        """Tell how a trial ended, if it did."""
        if not self._open_runs(trial):
            self._told.add(trial.number)
            self.sweep.trials.tell(trial, self._outcome(self._runs_of(trial)))

    def _count_open(self) -> int:
        self._begun = self.sweep.directory.begun()
        drawn = sum(len(self._open_runs(trial)) for trial in self._open_trials(self.sweep.trials.known()))
        return drawn + self.sweep.count_undrawn()

    def _outcome(self, runs: list[PlannedRun]) -> Outcome:
        states = [self._states.get(run.name) for run in runs]
        for state in ("pruned", "failed"):
            if state in states:
                return Outcome(state, None)
        best = [self.sweep.directory.summary(run).get("best") for run in runs]
        values = [each["value"] for each in best if each and each["value"] is not None]  # null is not finite
        return Outcome("finished", statistics.fmean(values) if len(values) == len(runs) else None)

    def _train(self, run: PlannedRun) -> int:
        directory, start = self.sweep.directory, time.monotonic()
        verb = "starts" if directory.state(run) == "new" else "continues"
        headings = short_names(run.trial.settings)
        settings = ", ".join(f"{headings[path]} {shown_value(value)}" for path, value in run.trial.settings.items())
        logger.info(f"{run.name}: {verb}{f' with {settings}' if settings else ''}")
        directory.record_start(run, self.sweep.digests)
        log = directory.log(run)
        log.touch()
        size = log.stat().st_size
        code = self._run_stages(run, log)
        seconds = f"after {time.monotonic() - start:.1f} s"
        if code in (PREEMPTED, CTRL_C) or (code != 0 and self.children.number):
            logger.warning(f"{run.name}: stopped {seconds}; the same command continues it")
            return CTRL_C if CTRL_C in (code, 128 + self.children.number) else PREEMPTED
        state = directory.summary(run).get("state")
        if code == 0 and state in ("finished", "pruned"):
            directory.record_end(run, state)
            logger.info(f"{run.name}: {state} {seconds}{self._best(run)}; {self._count_open()} left")
        else:
            reason = _reason(code, log, size)
            directory.record_end(run, "failed", reason)
            logger.error(f"{run.name}: failed {seconds}: {reason}; see {log}; {self._count_open()} left")
        return code

    def _run_stages(self, run: PlannedRun, log: Path) -> int:
        """Train a run if that is not done, and test it; return the exit code."""
        sweep, path = self.sweep, self.sweep.directory.path
        if sweep.directory.summary(run).get("state") not in ("finished", "pruned"):
            own = ["--root", str(path), "--name", run.name, "--resume", "auto"]
            options = options_of(run, sweep.definition, sweep.experiment)
            code = self._run_stage(["fit", *sweep.options, *options, *own], log, self._pruning(run))
            if code != 0:
                return code
        if sweep.directory.summary(run).get("state") == "finished" and sweep.has_test(run):
            # The checkpoint is of this sweep's own yaml, which may name any class.
            return self._run_stage(["test", "--trust", "--ckpt_path", str(path / run.name)], log, None)
        return 0

    def _pruning(self, run: PlannedRun) -> Pruning | None:
        """Return what decides whether a run ends early; None for other runs than the first of a trial."""
        if run != self._runs_of(run.trial)[0]:
            return None
        with self.sweep.directory.locked():
            return self.sweep.trials.pruning(run.trial)

    def _run_stage(self, argv: list[str], log: Path, pruning: Pruning | None) -> int:
        if self.ranks is not None:
            return self.ranks.run(argv, log, pruning, self.children)
        return run_stage(argv, log, pruning, self.children)

    def _best(self, run: PlannedRun) -> str:
        best = self.sweep.directory.summary(run).get("best")
        if not best:
            return ""
        return f", {best['monitor']} {'is not finite' if best['value'] is None else format(best['value'], '.4g')}"


def _reason(code: int, log: Path, start: int) -> str:
    """Return why a stage failed.

    Args:
        code: its exit code.
        log: what it printed.
        start: size of the log when it began.
    """
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}{', as when the memory is full' if name == 'SIGKILL' else ''}"
    with log.open("rb") as file:
        file.seek(start)
        found = _REASON.findall(file.read().decode(errors="replace"))
    own = [line for line in found if not line.startswith(LOST_PROCESS)]  # that of the process that failed first
    if not found:
        return f"exit code {code}" if code else "its process ended before its training did, with exit code 0"
    return shorten((own or found)[-1], _MAX_REASON)
