"""A reader of an unfinished sweep is told how many of its runs are missing."""

import json
from pathlib import Path

import pytest

from project.commands import main
from project.core.config.yaml_files import parse_untyped, parse_yaml
from project.study.planned import count_planned
from project.study.report.root_page import root_page
from project.study.sweep.definition import read_definition
from project.study.sweep.plan import grid_trials, runs_of
from tests.study.made_runs import write_run

NINE = "sweep: {grid: {model.optimizer.lr: [1e-3, 1e-2, 1e-1]}, seeds: 3}"


def write_sweep(path: Path, states: dict[str, str], text: str = NINE) -> None:
    """Write a sweep, of which these runs have started."""
    (path / ".sweep").mkdir(parents=True)
    (path / "sweep.yaml").write_text(text)
    for seed, (name, state) in enumerate(states.items()):
        (path / f".sweep/{name}.json").write_text(json.dumps({"state": state, "reason": None}))
        if state != "failed":
            write_run(path / name, {"seed": seed}, best=1.0, state=state)


def notes(capsys: pytest.CaptureFixture[str], path: Path) -> list[str]:
    capsys.readouterr()
    assert main(["table", str(path)]) == 0
    return str(capsys.readouterr().out).partition("\n\n")[2].splitlines()


def test_runs_that_have_not_started_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table and report say `4 of 9`; one that failed at once has started."""
    states = {"0000_seed0": "finished", "0000_seed1": "finished", "0000_seed2": "finished", "0001_seed0": "failed"}
    write_sweep(tmp_path / "lr", states)
    expected = "4 of 9 runs of the sweep lr: the others have no run directory"
    assert notes(capsys, tmp_path)[0] == expected
    assert expected in root_page(tmp_path)
    monkeypatch.chdir(tmp_path / "lr")
    assert notes(capsys, Path())[0] == expected


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ({"0000": "finished", "0001": "finished"}, "sweep: {grid: {a: [1, 2]}}"),
        ({"0000_seed0": "pruned", "0001_seed0": "finished", "0001_seed1": "finished"},
         "sweep: {grid: {a: [1, 2]}, seeds: 2, pruner: median}"),
    ],
)  # fmt: skip
def test_a_complete_sweep_has_no_such_line(
    states: dict[str, str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other runs of a pruned trial are never started."""
    write_sweep(tmp_path, states, text)
    assert not any("of the sweep" in line for line in notes(capsys, tmp_path))


@pytest.mark.parametrize("text", ["- 1", "sweep: {grid: 3}", "sweep: [", "sweep: {trials: x}"])
def test_a_damaged_file_is_told(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sweep(tmp_path / "lr", {"0000": "finished"}, text)
    assert notes(capsys, tmp_path) == ["lr: runs that have not started are not counted: sweep.yaml is damaged"]


@pytest.mark.parametrize("text", ["{grid: {a: [1, 2], b: [1, 2, 3]}, seeds: [4, 5], folds: 3}", "{seeds: 3}"])
def test_the_count_is_that_of_the_sweep(text: str) -> None:
    definition = read_definition(parse_untyped(text, ""), 0)
    runs = [run for trial in grid_trials(definition) for run in runs_of(trial, definition)]
    trials, each = count_planned(parse_yaml(text, ""))
    assert (trials, trials * each) == (len(grid_trials(definition)), len(runs))
