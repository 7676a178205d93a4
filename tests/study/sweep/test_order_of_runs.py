"""Which run of a sweep is next, and how a trial ended."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from project.core.run.pruning import Pruning
from project.study.sweep.definition import Definition
from project.study.sweep.directory import DONE, SweepDirectory
from project.study.sweep.plan import PlannedRun, Trial
from project.study.sweep.trials import Outcome
from project.study.sweep.worker import Sweep, Worker

SEARCH = Definition(trials=3, seeds=(0, 1), monitor="val/sum", pruner="median")


class Asked:
    """Trials of which each must be asked for, and a list of what was told."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.trials: list[Trial] = []
        self.told: list[tuple[int, Outcome]] = []

    def known(self) -> list[Trial]:
        return [*self.trials]

    def ask(self) -> Trial | None:
        if len(self.trials) == self.count:
            return None
        self.trials.append(Trial(len(self.trials), {}))
        return self.trials[-1]

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        self.told.append((trial.number, outcome))

    def pruning(self, trial: Trial) -> Pruning | None:
        return None


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    """Return the directory of a sweep."""
    created = SweepDirectory(tmp_path / "sweep")
    created.create()
    return created


def end(directory: SweepDirectory, name: str, state: str, value: float | None = None) -> None:
    """Record how a run ended."""
    (directory.path / name).mkdir(exist_ok=True)
    best = None if value is None else {"value": value}
    (directory.path / name / "summary.json").write_text(json.dumps({"state": state, "best": best}))
    if state in DONE:
        directory.record_end(PlannedRun(name, Trial(0, {})), state)


class Names:
    """The names of the runs that can be claimed, each until it has been released."""

    def __init__(self, definition: Definition, directory: SweepDirectory, trials: Asked) -> None:
        self.worker = Worker(Sweep(definition, directory, {}, [], trials))
        self.held: list[int] = []

    def claim(self) -> str | None:
        claimed = self.worker._claim()
        if claimed is None:
            return None
        self.held.append(claimed[1])
        return claimed[0].name

    def release(self) -> None:
        while self.held:
            os.close(self.held.pop())


@pytest.fixture
def trials() -> Asked:
    return Asked(3)


@pytest.fixture
def names(directory: SweepDirectory, trials: Asked) -> Iterator[Names]:
    """Return the runs of a search with a pruner."""
    found = Names(SEARCH, directory, trials)
    yield found
    found.release()


def test_other_runs_of_a_trial_wait_until_the_first_has_finished(
    names: Names, directory: SweepDirectory, trials: Asked
) -> None:
    """A trial is pruned by its first run; the others would be trained for nothing."""
    assert [names.claim(), names.claim()] == ["0000_seed0", "0001_seed0"]  # as of two workers
    names.release()
    end(directory, "0000_seed0", "finished", 0.25)
    end(directory, "0001_seed0", "pruned", 0.5)
    assert names.claim() == "0000_seed1"
    names.release()
    end(directory, "0000_seed1", "finished", 0.75)
    assert names.claim() == "0002_seed0"
    names.release()
    end(directory, "0002_seed0", "failed")
    assert names.claim() is None
    told = [(0, Outcome("finished", 0.5)), (1, Outcome("pruned", None)), (2, Outcome("failed", None))]
    assert sorted(trials.told, key=lambda item: item[0]) == told


def test_without_a_pruner_runs_need_not_wait(directory: SweepDirectory, trials: Asked) -> None:
    names = Names(replace(SEARCH, pruner=None), directory, trials)
    assert [names.claim() for _ in range(7)] == [*(f"000{n}_seed{seed}" for n in range(3) for seed in (0, 1)), None]
    names.release()
    assert trials.told == []


def test_killed_runs_come_before_new_trials(names: Names, directory: SweepDirectory) -> None:
    assert names.claim() == "0000_seed0"
    names.release()
    end(directory, "0000_seed0", "running")  # killed
    assert names.claim() == "0000_seed0"


def test_trial_without_a_best_value_has_no_value(names: Names, directory: SweepDirectory, trials: Asked) -> None:
    """The values of one of its runs were all NaN."""
    assert names.claim() == "0000_seed0"
    end(directory, "0000_seed0", "finished", 0.25)
    end(directory, "0000_seed1", "finished", None)
    names.claim()
    assert trials.told == [(0, Outcome("finished", None))]


def test_only_the_first_run_of_a_trial_can_be_pruned(directory: SweepDirectory) -> None:
    class Judging(Asked):
        def pruning(self, trial: Trial) -> Pruning | None:
            raise ZeroDivisionError("asked for")

    worker = Worker(Sweep(SEARCH, directory, {}, [], Judging(1)))
    first = PlannedRun("0000_seed0", Trial(0, {}), 0)
    with pytest.raises(ZeroDivisionError, match="asked for"):
        worker._pruning(first)
    assert worker._pruning(replace(first, name="0000_seed1", seed=1)) is None


def test_worker_waits_for_the_training_of_one_that_was_killed(directory: SweepDirectory) -> None:
    """It holds the lock until it has ended as well; the next trial would be drawn without its value."""
    run, reading, writing = PlannedRun("0000", Trial(0, {})), *os.pipe()
    process = os.fork()
    if process == 0:
        directory.claim(run)
        if os.fork() == 0:  # the training
            time.sleep(0.2)
            os._exit(0)
        os.write(writing, b"!")
        time.sleep(60)
    os.read(reading, 1)
    assert directory.claim(run) is None  # the worker lives
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    claimed = directory.claim(run)
    assert claimed is not None
    for opened in (claimed, reading, writing):
        os.close(opened)
