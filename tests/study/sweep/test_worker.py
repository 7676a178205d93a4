"""A worker trains and tests the runs that are left, one after another, and records how they ended."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from project.core.run.pruning import Pruning
from project.study.sweep import worker
from project.study.sweep.definition import Definition
from project.study.sweep.directory import SweepDirectory
from project.study.sweep.jobs import _prepare, _summarize
from project.study.sweep.plan import PlannedRun, Trial, runs_of
from project.study.sweep.process import Children
from project.study.sweep.trials import GridTrials, Outcome
from project.study.sweep.worker import Sweep, Worker, _reason

Stage = Callable[[str, str], int]  # from the stage and the name of the run to an exit code


class RecordingTrials(GridTrials):
    """Trials of a grid, the second of which is decided when it is asked for."""

    def __init__(self, definition: Definition) -> None:
        super().__init__(definition)
        self.hidden, self.trials = self.trials[1:], self.trials[:1]
        self.told: list[tuple[int, Outcome]] = []
        self.pruned: list[int] = []

    def ask(self) -> Trial | None:
        if not self.hidden:
            return None
        self.trials.append(self.hidden.pop(0))
        return self.trials[-1]

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        self.told.append((trial.number, outcome))

    def pruning(self, trial: Trial) -> Pruning | None:
        self.pruned.append(trial.number)
        return None


class Machine:
    """Stand-in of the processes of stages: keeps the calls, and writes the summaries of runs.

    Args:
        path: ROOT/SWEEP.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.calls = path, [""][:0]
        self.codes: dict[str, int] = {}  # by call, such as "fit 0000"; 0 for the others
        self.states: dict[str, str] = {}  # by name; finished for the others
        self.values: dict[str, float | None] = {}  # best ones, by name

    def run_stage(self, argv: Sequence[str], log: Path, pruning: object, children: object) -> int:
        name = log.stem
        call = f"{argv[0]} {name}"
        self.calls.append(call)
        code = self.codes.get(call, 0)
        state = self.states.get(name, "finished") if code == 0 else "failed"
        if argv[0] == "fit":
            (self.path / name).mkdir(exist_ok=True)
            best = {"monitor": "val/sum", "value": self.values.get(name, 0.5 + int(name[3:4]))}
            (self.path / name / "summary.json").write_text(json.dumps({"state": state, "best": best}))
        return code


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path / "lr")
    monkeypatch.setattr(worker, "run_stage", made.run_stage)
    return made


def make_sweep(machine: Machine, seeds: tuple[int, ...] = (), data: dict[str, Any] | None = None) -> Sweep:
    definition = Definition({"lr": (1, 2)}, seeds=seeds)
    directory = SweepDirectory(machine.path)
    directory.create()
    return Sweep(definition, directory, {"data": data or {"eval": {}}}, [], RecordingTrials(definition))


def test_best_value_that_is_not_finite_is_none(machine: Machine, messages: list[str]) -> None:
    """A loss that is infinite in each validation is null in summary.json, and must not end the worker."""
    machine.values["0000"] = None
    sweep = make_sweep(machine)
    assert Worker(sweep).work() == 0
    assert sweep.trials.told == [(0, Outcome("finished", None)), (1, Outcome("finished", 1.5))]  # type: ignore[attr-defined]
    assert any("0000: finished after" in line and "val/sum is not finite" in line for line in messages)


@pytest.mark.usefixtures("machine")
def test_runs_are_trained_and_tested_in_order(machine: Machine) -> None:
    sweep = make_sweep(machine, data={"eval": {"type": "A"}})
    assert Worker(sweep).work() == 0
    assert machine.calls == ["fit 0000", "test 0000", "fit 0001", "test 0001"]
    assert sweep.trials.told == [(0, Outcome("finished", 0.5)), (1, Outcome("finished", 1.5))]  # type: ignore[attr-defined]
    assert Worker(sweep).work() == 0
    assert len(machine.calls) == 4


def test_run_without_data_for_a_test(machine: Machine) -> None:
    Worker(make_sweep(machine, data={"eval": None})).work()
    assert machine.calls == ["fit 0000", "fit 0001"]


def test_runs_of_trials_that_are_not_drawn_are_left(machine: Machine, messages: list[str]) -> None:
    sweep = make_sweep(machine, seeds=(0, 1))
    sweep.definition = replace(sweep.definition, trials=3)
    Worker(sweep).work()
    left = [line.rpartition("; ")[2] for line in messages if "finished after" in line]
    assert left == ["5 left", "4 left", "3 left", "2 left"]  # the third trial is never drawn here
    _summarize(sweep)
    assert f"6 runs in {machine.path}: 4 finished, 2 not done or held by other workers" in messages


def test_failure_of_a_run_is_its_own(machine: Machine, messages: list[str]) -> None:
    """The others are trained, the failed one is told, and started again only when that is asked for."""
    machine.codes["fit 0000"] = -signal.SIGKILL
    sweep = make_sweep(machine)
    assert Worker(sweep).work() == 0
    assert sweep.trials.told == [(0, Outcome("failed", None)), (1, Outcome("finished", 1.5))]  # type: ignore[attr-defined]
    assert any("0000: failed after" in line and "killed by SIGKILL, as when the mem" in line for line in messages)
    assert _summarize(sweep) == 1
    assert messages[-2:] == [
        f"2 runs in {machine.path}: 1 finished, 1 failed; --retry_failed starts failed runs again",
        f"next: python cli.py table {machine.path}; python cli.py report {machine.path}",
    ]
    machine.calls.clear()
    machine.codes.clear()
    Worker(sweep).work()
    assert machine.calls == []
    _prepare(sweep, retry_failed=True)
    Worker(sweep).work()
    assert machine.calls == ["fit 0000"]
    assert _summarize(sweep) == 0


def test_run_whose_process_ends_early_without_an_error_has_failed(machine: Machine, messages: list[str]) -> None:
    """A library may call os._exit(0)."""
    machine.states["0000"] = "running"
    sweep = make_sweep(machine, data={"eval": {"type": "A"}})
    Worker(sweep).work()
    assert machine.calls == ["fit 0000", "fit 0001", "test 0001"]
    assert [sweep.directory.state(run) for run in sweep.runs()] == ["failed", "finished"]
    assert any("its process ended before its training did, with exit code 0" in line for line in messages)


def test_work_per_run_does_not_grow_with_the_number_of_trials(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Naming 5,000 runs for each run took seconds, during which the sweep was locked for other workers."""
    named: list[int] = []

    def count_names(trial: Trial, definition: Definition) -> Iterator[PlannedRun]:
        named.append(trial.number)
        return runs_of(trial, definition)

    sweep = make_sweep(machine)
    sweep.definition = Definition({"lr": (*range(20),)})
    sweep.trials = GridTrials(sweep.definition)
    monkeypatch.setattr(worker, "runs_of", count_names)
    Worker(sweep).work()
    assert len(machine.calls) == 20
    assert sorted(named) == [*range(20)]


def test_failed_test_is_repeated_without_training(machine: Machine) -> None:
    machine.codes["test 0000"] = 1
    sweep = make_sweep(machine, data={"eval": {"type": "A"}})
    Worker(sweep).work()
    assert [sweep.directory.state(run) for run in sweep.runs()] == ["failed", "finished"]
    machine.calls.clear()
    _prepare(sweep, retry_failed=True)
    Worker(sweep).work()
    assert machine.calls == ["test 0000"]


@pytest.mark.parametrize("code", [75, 130])
def test_preempted_run_ends_the_worker_and_has_not_failed(code: int, machine: Machine) -> None:
    machine.codes["fit 0000"] = code
    sweep = make_sweep(machine)
    assert Worker(sweep).work() == code
    assert machine.calls == ["fit 0000"]
    assert [*map(sweep.directory.state, sweep.runs())] == ["stopped"]


def test_signal_between_runs_ends_the_worker(machine: Machine) -> None:
    children = Children()
    children.number = signal.SIGTERM
    assert Worker(make_sweep(machine), children).work() == 75
    assert machine.calls == []


def test_signals_reach_the_processes_that_join_folds(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[object, ...]] = []

    def finish(*arguments: object) -> int:
        given.append(arguments[4:])
        return 0

    monkeypatch.setattr(worker, "finish", finish)
    sweep, children = make_sweep(machine, data={"train": {"type": "Fold"}, "val": {"type": "Fold"}}), Children()
    sweep.definition = replace(sweep.definition, folds=2)
    assert Worker(sweep, children).work() == 0
    assert {*given} == {(children,)}


def test_other_seeds_of_a_pruned_trial_are_not_trained(machine: Machine) -> None:
    machine.states["0000_seed0"] = "pruned"
    sweep = make_sweep(machine, seeds=(0, 1))
    Worker(sweep).work()
    assert machine.calls == ["fit 0000_seed0", "fit 0001_seed0", "fit 0001_seed1"]
    assert sweep.trials.told[0] == (0, Outcome("pruned", None))  # type: ignore[attr-defined]
    assert sweep.trials.pruned == [0, 1]  # type: ignore[attr-defined]


def test_run_that_another_worker_holds_is_left_out(machine: Machine, messages: list[str]) -> None:
    sweep = make_sweep(machine)
    run = next(runs_of(sweep.trials.known()[0], sweep.definition))
    lock = sweep.directory.claim(run)
    assert lock is not None
    Worker(sweep).work()
    assert machine.calls == ["fit 0001"]
    _summarize(sweep)
    assert f"2 runs in {machine.path}: 1 finished, 1 not done or held by other workers" in messages
    os.close(lock)
    Worker(sweep).work()
    assert machine.calls == ["fit 0001", "fit 0000"]


def test_changes_of_code_are_said_once_and_the_runs_kept(machine: Machine, messages: list[str]) -> None:
    sweep = make_sweep(machine)
    sweep.digests = {"code": "a", "data": "b"}
    Worker(sweep).work()
    machine.calls.clear()
    _prepare(sweep, retry_failed=False)
    assert not any("differ" in line for line in messages)
    sweep.digests = {"code": "c", "data": "b"}
    _prepare(sweep, retry_failed=False)
    assert "finished runs that differ from what would be trained now: 2 in code; they are kept" in messages[-1]
    Worker(sweep).work()
    assert machine.calls == []


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("error: model.net is 'x'; it takes a type\n", "model.net is 'x'; it takes a type"),
        (
            "12:00:00 ERROR   raised in forward (net.py:3)\nTraceback (most recent call last):\n"
            '  File "net.py", line 3\nZeroDivisionError: on purpose\n12:00:01 INFO    last checkpoint: a\n',
            "ZeroDivisionError: on purpose",
        ),
        ("torch.OutOfMemoryError: CUDA out of memory.\n", "torch.OutOfMemoryError: CUDA out of memory."),
        ("12:00:00 ERROR   the disk is full\n", "the disk is full"),
        ("12:00:00 ERROR   raised in forward (net.py:3)\nSystemExit: 0\n", "exit code 1"),
        ("12:00:00 INFO    epoch 1\n", "exit code 1"),
    ],
)
def test_reason_is_the_last_error_of_this_start(printed: str, reason: str, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("error: of an earlier start\n" + printed)
    assert _reason(1, log, len("error: of an earlier start\n")) == reason
