"""A worker: claims a run that no other worker holds, trains it, and claims the next."""

import os
from dataclasses import dataclass

from loguru import logger

from project.core.config.yaml_files import Tree
from project.study.sweep.definition import Definition
from project.study.sweep.directory import SweepDirectory
from project.study.sweep.plan import PlannedRun, options_of, runs_of
from project.study.sweep.process import run_stage
from project.study.sweep.trials import Trials

PREEMPTED = 75


@dataclass
class Sweep:
    """A sweep that is being worked on.

    Args:
        definition: what SWEEP.yaml contains.
        directory: directory of its runs.
        experiment: the merged tree of the experiment's yaml and options.
        options: the options of the experiment, for `fit`: its --config files and settings.
        trials: where trials come from.
    """

    definition: Definition
    directory: SweepDirectory
    experiment: Tree
    options: list[str]
    trials: Trials


class Worker:
    """Trains runs of a sweep, one at a time.

    Args:
        sweep: the sweep.
        retry_failed: whether failed runs are started again.
    """

    def __init__(self, sweep: Sweep, retry_failed: bool = False) -> None:
        self.sweep, self.retry_failed = sweep, retry_failed

    def work(self) -> int:
        """Train runs until none can be claimed; return the exit code: 1 if one failed, 75 after a preemption."""
        worst = 0
        while (claimed := self._claim()) is not None:
            run, lock = claimed
            try:
                code = self._train(run)
            finally:
                os.close(lock)
            if code == PREEMPTED:
                return PREEMPTED
            worst = max(worst, int(code != 0))
        return worst

    def _claim(self) -> tuple[PlannedRun, int] | None:
        directory = self.sweep.directory
        done = {"finished", "pruned"} if self.retry_failed else {"finished", "pruned", "failed"}
        with directory.locked():
            for trial in self.sweep.trials.known():
                for run in runs_of(trial, self.sweep.definition):
                    if directory.state(run) not in done and (lock := directory.claim(run)) is not None:
                        return run, lock
            return None

    def _train(self, run: PlannedRun) -> int:
        sweep = self.sweep
        options = options_of(run, sweep.definition, sweep.experiment)
        logger.info(f"{run.name}: {' '.join(options)}")
        log = sweep.directory.log(run)
        own = ["--root", str(sweep.directory.path), "--name", run.name, "--resume", "auto"]
        pruning = sweep.trials.pruning(run.trial)
        code = run_stage(["fit", *sweep.options, *options, *own], log, pruning)
        if code == 0 and sweep.directory.state(run) == "finished":
            code = run_stage(["test", "--ckpt_path", str(sweep.directory.path / run.name)], log)
        if code not in (0, PREEMPTED):
            sweep.directory.record_failure(run, f"exit code {code}; see {log}")
        logger.info(f"{run.name}: {sweep.directory.state(run)}")
        return code
