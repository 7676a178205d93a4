"""Trials drawn by optuna: values follow the space, and a worker killed at any time draws the same ones again."""

import ast
import math
import os
import random
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

import project
from project.core.config.yaml_files import parse_untyped
from project.core.errors import ConfigError
from project.study.sweep.definition import Choice, Definition, Number
from project.study.sweep.optuna_trials import OptunaTrials
from project.study.sweep.plan import Trial
from project.study.sweep.trials import GridTrials, Outcome, choose_trials

ADAM, SGD = {"type": "Adam"}, {"type": "SGD", "nesterov": True}
SPACE = Definition(
    space={
        "model.optimizer": Choice((ADAM, SGD)),
        "momentum": Number(0.0, 0.9, when={"model.optimizer": SGD}),
        "lr": Number(1e-6, 1.0, is_log=True),
        "width": Number(4, 64, is_int=True, is_log=True),
        "depth": Number(1, 3, is_int=True),
    },
    trials=12,
    seeds=(1,),
    monitor="val/sum",
    pruner="median",
)
GRID = Definition(grid={"lr": tuple(10.0**-power for power in range(9))}, monitor="val/sum", pruner="median")


def value_of(trial: Trial, step: int) -> float:
    """Return what a run of a trial would log after a step."""
    return float(abs(math.log10(trial.settings["lr"]) + 3) + trial.settings.get("depth", 0) + 10 / step)


def work(trials: OptunaTrials, until: int = 1_000) -> dict[int, str]:
    """Complete trials as one worker does, from wherever the journal is; return why each was pruned."""
    pruned = {}
    done: set[int] = set()
    while (
        trial := next((each for each in trials.known() if each.number not in done), None) or trials.ask()
    ) is not None:
        if len(done) == until:
            break
        why = None
        pruning = trials.pruning(trial)
        for step in (10, 20, 30, 40):
            if pruning is not None and (why := pruning.reports(step, value_of(trial, step))) is not None:
                pruned[trial.number] = f"{step}: {why}"
                break
        trials.tell(trial, Outcome("pruned", None) if why else Outcome("finished", value_of(trial, 40)))
        done.add(trial.number)
    return pruned


def content(file: Path, definition: Definition = SPACE) -> list[Any]:
    """Return all that the journal says of the trials but times."""
    trials = OptunaTrials(definition, file)._journal.trials()
    return [
        (each.number, each.state.name, each.value, each.params, each.intermediate_values, each.user_attrs)
        for each in trials
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the journal of a search that nobody disturbed."""
    file = tmp_path_factory.mktemp("whole") / "trials.journal"
    pruned = work(OptunaTrials(SPACE, file))
    assert 0 < len(pruned) < SPACE.trials, pruned
    return file


def test_values_follow_the_space(whole: Path) -> None:
    """An int that is printed as 8.0, or a float of numpy, would be refused by `fit`."""
    trials = OptunaTrials(SPACE, whole).known()
    assert len(trials) == SPACE.trials
    assert [trial.number for trial in trials] == [*range(SPACE.trials)]
    for trial in trials:
        settings = trial.settings
        assert settings["model.optimizer"] in (ADAM, SGD)
        assert ("momentum" in settings) == (settings["model.optimizer"] == SGD)
        assert {type(settings["width"]), type(settings["depth"])} == {int}
        assert type(settings["lr"]) is float
        assert 4 <= settings["width"] <= 64
        assert 1 <= settings["depth"] <= 3
        assert 1e-6 <= settings["lr"] <= 1
        assert float(str(settings["lr"])) == settings["lr"]
    assert {trial.settings["model.optimizer"]["type"] for trial in trials} == {"Adam", "SGD"}
    assert len({trial.settings["lr"] for trial in trials}) == SPACE.trials
    assert OptunaTrials(SPACE, whole).ask() is None


def test_asked_trial_is_the_one_that_is_known_later(tmp_path: Path) -> None:
    trials = OptunaTrials(SPACE, tmp_path / "journal")
    assert trials.known() == []
    assert not (tmp_path / "journal").exists()  # --dry_run writes nothing
    asked = [trials.ask() for _ in range(3)]
    assert OptunaTrials(SPACE, tmp_path / "journal").known() == asked


def test_workers_draw_different_values_and_other_seeds_others(tmp_path: Path) -> None:
    """Two samplers of one seed would draw the same values."""
    first, second = (OptunaTrials(SPACE, tmp_path / "journal") for _ in range(2))
    asked = [first.ask(), second.ask(), first.ask()]
    assert len({trial.settings["lr"] for trial in asked if trial}) == 3
    other = OptunaTrials(replace(SPACE, seeds=(7, 8)), tmp_path / "other").ask()
    assert other is not None
    assert other.settings["lr"] not in {trial.settings["lr"] for trial in asked if trial}


def cuts(size: int, count: int) -> list[int]:
    """Return lengths to which a journal is cut, at random, which is mostly within a record."""
    return sorted(random.Random(0).sample(range(size), count))


@pytest.mark.parametrize(
    ("pruner", "count"),
    [
        ("median", 2),
        pytest.param("median", 30, marks=pytest.mark.slow),
        pytest.param("hyperband", 30, marks=pytest.mark.slow),
    ],
)
def test_journal_cut_anywhere_leads_to_the_same_trials(
    pruner: Literal["median", "hyperband"], count: int, tmp_path: Path
) -> None:
    """So does kill -9 between any two writes, or within one."""
    definition, whole = replace(SPACE, pruner=pruner), tmp_path / "whole.journal"
    pruned = work(OptunaTrials(definition, whole))
    assert 0 < len(pruned) < SPACE.trials
    expected, text = content(whole, definition), whole.read_bytes()
    for length in cuts(len(text), count):
        file = tmp_path / f"{length}.journal"
        file.write_bytes(text[:length])
        work(OptunaTrials(definition, file))
        assert content(file, definition) == expected, length


@pytest.mark.slow
@pytest.mark.parametrize(
    "definition", [SPACE, replace(SPACE, pruner="hyperband"), GRID], ids=["tpe", "halving", "grid"]
)
def test_kill_at_any_time_leads_to_the_same_trials(definition: Definition, tmp_path: Path) -> None:
    """The lock of a process that was killed is free at once, and what it wrote last is whole or gone."""
    undisturbed, file = tmp_path / "undisturbed.journal", tmp_path / "killed.journal"
    work(OptunaTrials(definition, undisturbed))
    started = time.monotonic()
    kills = [kill_at(size, definition, file) for size in cuts(undisturbed.stat().st_size, 10)].count(True)
    assert kills >= 3
    work(OptunaTrials(definition, file))
    assert content(file, definition) == content(undisturbed, definition)
    assert time.monotonic() - started < 25  # optuna's own lock would be waited for, for 30 s


def kill_at(size: int, definition: Definition, file: Path) -> bool:
    """Work in another process, and kill it when the journal has a size; return whether it was killed."""
    process = os.fork()
    if process == 0:
        work(OptunaTrials(definition, file))
        os._exit(0)
    while (ended := os.waitpid(process, os.WNOHANG))[0] == 0:
        if file.exists() and file.stat().st_size >= size:
            os.kill(process, signal.SIGKILL)
            ended = os.waitpid(process, 0)
            break
    return os.WIFSIGNALED(ended[1])


def test_trial_is_told_once(tmp_path: Path) -> None:
    """A worker that was killed after it told a trial tells it again."""
    trials = OptunaTrials(SPACE, tmp_path / "journal")
    trial = trials.ask()
    assert trial is not None
    trials.tell(trial, Outcome("failed", None))  # may still be completed, with --retry_failed
    trials.tell(trial, Outcome("finished", 0.5))
    size = (tmp_path / "journal").stat().st_size
    for outcome in (Outcome("finished", 0.5), Outcome("failed", None), Outcome("pruned", None)):
        OptunaTrials(SPACE, tmp_path / "journal").tell(trial, outcome)
    assert (tmp_path / "journal").stat().st_size == size
    assert content(tmp_path / "journal")[0][1:3] == ("COMPLETE", 0.5)


@pytest.mark.parametrize("value", [None, math.nan])
def test_trial_without_a_value_is_a_bad_one(value: float | None, tmp_path: Path) -> None:
    """One whose values are all NaN must not end the sweep."""
    trials = OptunaTrials(SPACE, tmp_path / "journal")
    trial = trials.ask()
    assert trial is not None
    trials.tell(trial, Outcome("finished", value))
    assert content(tmp_path / "journal")[0][1] == "PRUNED"


@pytest.mark.parametrize("mode", ["max", "${vars.mode}"])
def test_search_finds_the_highest_value_where_that_is_best(mode: str, tmp_path: Path) -> None:
    """A sweep without a monitor of its own takes the mode of the experiment, which may be a reference."""
    definition = Definition(space={"x": Number(0.0, 1.0)}, trials=14)
    experiment = parse_untyped(f"{{vars: {{mode: max}}, checkpoint: {{mode: '{mode}'}}}}", "here")
    trials = choose_trials(definition, tmp_path, experiment)
    while (trial := trials.ask()) is not None:
        trials.tell(trial, Outcome("finished", trial.settings["x"]))
    drawn = [trial.settings["x"] for trial in trials.known()]
    assert min(drawn[10:]) > 0.6, drawn


@pytest.mark.parametrize("definition", [SPACE, GRID], ids=["space", "grid"])
def test_median_pruner_ends_a_bad_trial_and_says_what_it_was_compared_with(
    definition: Definition, tmp_path: Path
) -> None:
    definition = replace(definition, trials=6 if definition.space else 0)
    trials = OptunaTrials(definition, tmp_path / "journal")
    for number in range(5):
        trial = next(iter(trials.known()[number:]), None) or trials.ask()
        assert trial is not None
        pruning = trials.pruning(trial)
        assert pruning is not None
        assert [pruning.reports(step, number + 0.5) for step in (10 + number, 20 + number)] == [None, None]
        trials.tell(trial, Outcome("finished", number + 0.5))
    trial = next(iter(trials.known()[5:]), None) or trials.ask()
    assert trial is not None
    pruning = trials.pruning(trial)
    assert pruning is not None
    assert pruning.reports(7, 2.0) is None
    why = "the median of 5 trials is 2.5 at validation 2, and the best value of this one 2.6"
    pruning.reports(9, 1.0)
    better = OptunaTrials(definition, tmp_path / "journal").pruning(trial)
    assert better is not None
    assert better.reports(7, 2.6) is not None  # the value has changed, so that the decision is taken again
    assert better.reports(9, 2.6) == why
    size = (tmp_path / "journal").stat().st_size
    assert better.reports(9, 2.6) == why  # after a kill and a resume
    assert (tmp_path / "journal").stat().st_size == size


def test_damaged_journal_is_named(whole: Path, tmp_path: Path) -> None:
    file = tmp_path / "journal"
    lines = whole.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], b"\0\0\0\n", *lines[3:]]))
    with pytest.raises(ConfigError, match="journal is damaged"):
        OptunaTrials(SPACE, file).known()


def test_journal_of_another_search_is_refused(whole: Path, tmp_path: Path) -> None:
    """Its values are no values of these settings."""
    shutil.copy(whole, tmp_path / "journal")
    space = {**SPACE.space, "model.optimizer": Choice((ADAM,))}
    with pytest.raises(ConfigError, match="is that of another sweep: trial 0 has other settings"):
        OptunaTrials(replace(SPACE, space=space), tmp_path / "journal").known()
    (tmp_path / "link").symlink_to(whole)
    with pytest.raises(ConfigError, match="link is a link; remove it"):
        OptunaTrials(SPACE, tmp_path / "link").known()


@pytest.mark.parametrize(("definition", "key"), [(replace(SPACE, pruner=None), "space"), (GRID, "pruner")])
def test_missing_optuna_is_one_line(
    definition: Definition, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.rpartition(".")[2] in ("optuna_trials", "pruners", "journal")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setattr("project.core.errors.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as raised:
        choose_trials(definition, tmp_path, {})
    assert str(raised.value) == f"`{key}` needs the package optuna: pip install -c constraints.txt -e '.[sweep]'"
    assert isinstance(choose_trials(replace(GRID, pruner=None), tmp_path, {}), GridTrials)


def test_only_searches_import_optuna() -> None:
    """Grids and --help need no extra package."""
    users = {"optuna_trials", "pruners", "journal"}
    for file in Path(project.__file__).parent.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        nodes = ast.parse(text).body if any(name in text for name in ("optuna", *users)) else []
        for node in nodes:  # not what functions import
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                is_optuna = name.partition(".")[0] == "optuna" or name.rpartition(".")[2] in users
                assert file.stem in users or not is_optuna, (file, name)
