"""The command sweep: which runs it has, and what it keeps of the definition."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from project.core.cli.arguments import SWEEP_KEYS
from project.core.config.yaml_files import PlainScalar, Tree
from project.study.sweep.command import main
from project.study.sweep.definition import _Keys as SweepKeys
from project.study.sweep.directory import SweepDirectory
from project.study.sweep.frozen import find_changes
from project.study.sweep.plan import PlannedRun, Trial
from tests.conftest import Cli

LR = "grid: {model.optimizer.lr: [1e-3, 1e-2]}\n"
Sweep = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Sweep:
    """Return a function that calls the command in an empty directory; it returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["sweep", "--config", "tiny.yaml", *argv])
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the check of the first run, which takes a while."""
    from project.study.sweep import command

    monkeypatch.setattr(command, "call_separately", lambda *_, **__: None)
    monkeypatch.setattr(command, "run_workers", lambda *_: 0)


@pytest.mark.usefixtures("unchecked")
def test_dry_run_shows_the_runs_and_leaves_no_files(sweep: Sweep, tiny: Callable[..., str], tmp_path: Path) -> None:
    tiny()
    (tmp_path / "lr.yaml").write_text(f"{LR}seeds: 2")
    before = sorted(tmp_path.rglob("*"))
    code, out, _ = sweep("--sweep", "lr.yaml", "--dry_run", "--seed", "3")
    assert (code, out) == (
        0,
        "name        lr    seed\n0000_seed3  1e-3  3\n0000_seed4  1e-3  4\n0001_seed3  1e-2  3\n0001_seed4  1e-2  4\n\n"
        "4 runs: 2 trials, 2 seeds\n",
    )
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("unchecked")
def test_dry_run_of_a_sweep_that_was_begun_shows_states(sweep: Sweep, tiny: Callable[..., str], tmp_path: Path) -> None:
    tiny()
    (tmp_path / "lr.yaml").write_text(LR)
    sweep("--sweep", "lr.yaml")
    directory = SweepDirectory(tmp_path / "experiments" / "lr")
    directory.record_end(PlannedRun("0001", Trial(1, {})), "failed", "a mistake")
    out = sweep("--sweep", "lr.yaml", "--dry_run")[1]
    assert out == "name  lr    state\n0000  1e-3  new\n0001  1e-2  failed\n\n2 runs: 2 trials\n"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("argv", "name", "count"),
    [
        ([], "tiny", 1),
        (["--sweep", "lr.yaml"], "lr", 2),
        (["--sweep", "lr.yaml", "--name", "other"], "other", 2),
        (["--sweep.seeds", "3"], "tiny", 3),
    ],
)
def test_sweep_of_the_yaml_and_of_a_file(
    sweep: Sweep, tiny: Callable[..., str], tmp_path: Path, argv: list[str], name: str, count: int
) -> None:
    """The file takes precedence over the key, and options over both; the directory is called as the file, or --name."""
    tiny({"sweep": {"grid": {"model.optimizer.lr": [0.1]}}})
    (tmp_path / "lr.yaml").write_text(LR)
    assert sweep(*argv)[0] == 0
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == [name]
    assert f"\n{count} run" in sweep(*argv, "--dry_run")[1]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("given", "as_options"),
    [
        (f"{LR}seeds: 2", ["seeds 2", "grid.model.optimizer.lr [1e-3,1e-2]"]),
        ("folds: 3\nname: 'run_{fold}'", ["folds 3", "name run_{fold}"]),
        (
            "space: {model.optimizer.lr: {log: [1e-3, 1e-2]}}\ntrials: 4\npruner: median\nmonitor: val/sum\nmode: min",
            [
                "space.model.optimizer.lr {log: [1e-3, 1e-2]}",
                "trials 4",
                "pruner median",
                "monitor val/sum",
                "mode min",
            ],
        ),
    ],
)
def test_each_key_of_a_sweep_is_an_option(
    sweep: Sweep, tiny: Callable[..., str], tmp_path: Path, given: str, as_options: list[str]
) -> None:
    """No file needs to contain a sweep; with a file or options, it is the same."""
    pytest.importorskip("optuna")
    tiny({"data": {part: {"type": "Fold", "part": part, "k": 3, "fold": 0} for part in ("train", "val")}})
    (tmp_path / "tiny_.yaml").write_text(given)
    words = [word for option in as_options for word in f"--sweep.{option}".split(" ", 1)]
    assert sweep("--sweep", "tiny_.yaml")[0] == 0
    assert sweep(*words)[::2] == (0, "")
    files = [tmp_path / f"experiments/{name}/sweep.yaml" for name in ("tiny_", "tiny")]
    first, second = (yaml.safe_load(file.read_text())["sweep"] for file in files)
    assert first == second


def test_keys_of_a_sweep_are_those_of_its_definition() -> None:
    """The command line lists them without importing the sweep."""
    assert SweepKeys.__dataclass_fields__.keys() == {*SWEEP_KEYS}


def test_fit_ignores_the_sweep_of_its_yaml(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"sweep": {"grid": {"model.optimizer.lr": [0.1]}}})
    printed = cli("fit", "--config", config, "--print_config")
    assert (printed.code, printed.err) == (0, "")
    assert "sweep" not in yaml.safe_load(printed.out)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("text", "argv", "changes"),
    [
        ("grid: {model.optimizer.lr: [1e-3]}", [], "sweep.grid.model.optimizer.lr was [1e-3, 1e-2] and is [1e-3]"),
        (f"{LR}seeds: 2", [], "sweep.seeds was not set and is 2"),
        (LR, ["--trainer.max_epochs", "7"], "trainer.max_epochs was 1 and is 7"),
        (
            "grid: {a: [{b: '1'}]}",
            ["--seed", "1", "--model.net.hidden", "9"],
            "sweep.grid.model.optimizer.lr was [1e-3, 1e-2] and is not set; seed was 0 and is 1; "
            "model.net.hidden was 8 and is 9; ...",
        ),
    ],
)
def test_another_sweep_of_the_same_name_is_refused(
    sweep: Sweep, tiny: Callable[..., str], tmp_path: Path, text: str, argv: list[str], changes: str
) -> None:
    tiny()
    (tmp_path / "lr.yaml").write_text(LR)
    assert sweep("--sweep", "lr.yaml")[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "experiments").rglob("*") if path.is_file()}
    (tmp_path / "lr.yaml").write_text(text)
    code, _, err = sweep("--sweep", "lr.yaml", *argv)
    assert code == 2
    assert err == (
        f"error: experiments/lr was begun as another sweep: {changes}\n"
        "To begin another, rename the yaml file of the sweep, or set --name or --root\n"
    )
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.usefixtures("unchecked")
def test_the_order_of_settings_belongs_to_a_sweep(sweep: Sweep, tiny: Callable[..., str], tmp_path: Path) -> None:
    """It gives the trials their numbers."""
    tiny()
    for text, expected in (("{data.batch_size: [8], seed_: [1]}", 0), ("{seed_: [1], data.batch_size: [8]}", 2)):
        (tmp_path / "lr.yaml").write_text(f"grid: {text}")
        code, _, err = sweep("--sweep", "lr.yaml")
        assert code == expected
    assert "the order of settings was data.batch_size, seed_ and is seed_, data.batch_size\n" in err


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("text", "changes", "code"),
    [
        (f"{LR}seeds: 2", ["3"], 0),
        (f"{LR}seeds: 2", ["3", "2"], 2),
        (f"{LR}seeds: 1", ["2"], 2),  # the names of the runs would get the seed
        (f"{LR}seeds: 2\npruner: median", ["3"], 2),  # trials that were compared by two seeds
    ],
)
def test_seeds_may_be_added(
    sweep: Sweep, tiny: Callable[..., str], tmp_path: Path, text: str, changes: list[str], code: int
) -> None:
    """The further runs of a grid do not change those before."""
    tiny()
    (tmp_path / "lr.yaml").write_text(text)
    assert sweep("--sweep", "lr.yaml", "--sweep.monitor", "val/sum")[0] == 0
    codes = [
        sweep("--sweep", "lr.yaml", "--sweep.monitor", "val/sum", "--sweep.seeds", number)[0] for number in changes
    ]
    assert codes[-1] == code


def test_trials_may_be_added_and_not_removed() -> None:
    before: Tree = {"sweep": {"space": {"a": PlainScalar("1")}, "trials": PlainScalar("9")}, "experiment": {}}
    now = {**before, "sweep": before["sweep"] | {"trials": PlainScalar("10")}}
    assert find_changes(before, now) == []
    assert find_changes(now, before) == ["sweep.trials was 10 and is 9"]


@pytest.mark.usefixtures("unchecked")
def test_settings_without_effect_may_change(sweep: Sweep, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Another machine continues the sweep, with more workers of loaders, and another path of the root."""
    tiny()
    (tmp_path / "lr.yaml").write_text(LR)
    assert sweep("--sweep", "lr.yaml")[0] == 0
    (tmp_path / "experiments").rename(tmp_path / "moved")
    argv = ["--root", "moved", "--data.num_workers", "1", "--log_level", "DEBUG"]
    assert sweep("--sweep", "lr.yaml", *argv)[0] == 0


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("files", "what"),
    [
        (["lr"], "is a file"),
        (["lr/config.yaml", "lr/log.txt"], "is a run directory"),
        (["lr/notes.txt"], "is no sweep: it contains notes.txt"),
        (["lr/sweep.yaml"], "is not the file of a sweep"),
    ],
)
def test_something_else_of_the_name_is_refused(
    sweep: Sweep, tiny: Callable[..., str], tmp_path: Path, files: list[str], what: str
) -> None:
    tiny()
    (tmp_path / "lr.yaml").write_text(LR)
    for file in files:
        path = tmp_path / "experiments" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[1]")
    code, _, err = sweep("--sweep", "lr.yaml")
    assert code == 2
    assert err.endswith(f" {what}; rename the yaml file of the sweep, or set --name or --root\n")


@pytest.mark.usefixtures("unchecked")
def test_start_that_was_killed_is_begun_again(sweep: Sweep, tiny: Callable[..., str], tmp_path: Path) -> None:
    """There may be no sweep.yaml yet, or half of it under another name."""
    tiny()
    (tmp_path / "lr.yaml").write_text(LR)
    directory = tmp_path / "experiments" / "lr"
    (directory / ".sweep").mkdir(parents=True)
    (directory / ".sweep.yaml.123").write_text("half")
    assert sweep("--sweep", "lr.yaml")[0] == 0
    frozen: dict[str, Any] = yaml.safe_load((directory / "sweep.yaml").read_text())
    assert frozen["sweep"] == yaml.safe_load(LR)


@pytest.mark.slow
def test_whole_products_are_checked_value_by_value(sweep: Sweep, tiny: Callable[..., str], tmp_path: Path) -> None:
    """10,000 runs, of which one value of one setting is wrong."""
    tiny()
    grid = {
        "model.optimizer.lr": [0.001 * number for number in range(1, 11)],
        "model.net.hidden": [*range(1, 10), "ten"],
        "data.batch_size": [*range(1, 11)],
        "model.optimizer.weight_decay": [0.01 * number for number in range(10)],
    }
    (tmp_path / "lr.yaml").write_text(yaml.safe_dump({"grid": grid}))
    code, _, err = sweep("--sweep", "lr.yaml")
    assert code == 2
    assert err == "error: sweep.grid.model.net.hidden = ten: model.net.hidden is 'ten'; it takes int\n"


@pytest.mark.slow
def test_error_in_the_code_of_a_component_shows_its_traceback(
    sweep: Sweep, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """It is no mistake in the yaml, so the exit code is 1; nothing is written."""
    tiny({"model": {"net": {"type": "tests.core.components.UnbuiltNet"}}})
    (tmp_path / "lr.yaml").write_text(LR)
    code, _, err = sweep("--sweep", "lr.yaml")
    assert code == 1
    assert 'raise ZeroDivisionError("on purpose")' in err
    assert err.endswith("the check of the first run failed: exit code 1; see above\n")
    assert not (tmp_path / "experiments").exists()
