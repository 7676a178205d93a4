"""A run as a row: what its files say, in whatever state they are."""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from torch.utils.tensorboard import SummaryWriter

import project
from project.core.errors import ConfigError
from project.study.runs import Best, find_runs, read_run
from tests.study.made_runs import write_run


def write_curve(run: Path, name: str, *values: float) -> None:
    with SummaryWriter(str(run / "event")) as events:
        for step, value in enumerate(values):
            events.add_scalar(name, value, 10 * (step + 1))


def test_a_row_has_what_the_files_say(tmp_path: Path) -> None:
    config: dict[str, Any] = {"model": {"net": {"width": 8, "inputs": None, "sizes": [1, 2], "more": {}}}}
    row = read_run(write_run(tmp_path / "a", config, best=0.5, values={"val/loss": 0.7}, test=0.9))
    assert row.name == "a"
    net = {key: value for key, value in row.settings.items() if key.startswith("model.net.")}
    assert list(net.values()) == [8, None, [1, 2], {}]
    assert (row.state, row.reason, row.seconds, row.steps) == ("finished", "done", 1.5, 10)
    assert row.best == Best("val/loss", "min", 0.5, 8, 2, "checkpoints/best.ckpt")
    assert (row.last, row.results, row.problems) == ({"val/loss": 0.7}, {"test/accuracy": 0.9}, [])


def test_the_mode_of_the_best_is_that_of_the_summary(tmp_path: Path) -> None:
    """It may differ from the setting, whose default depends on the monitored value."""
    run = write_run(tmp_path / "a", {}, best=0.5, values={})
    summary = json.loads((run / "summary.json").read_text())
    summary["best"]["mode"] = "max"
    (run / "summary.json").write_text(json.dumps(summary))
    best = read_run(run).best
    assert best is not None
    assert best.mode == "max"


def test_last_values_are_those_of_the_curves_if_the_summary_has_none(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {}, best=0.5)
    write_curve(run, "val/loss", 0.5, 0.25)
    row = read_run(run)
    assert row.last == {"val/loss": 0.25}
    assert row.best is not None
    assert row.best.value == 0.5


@pytest.mark.parametrize(("mode", "best", "step"), [("min", 0.125, 30), ("max", 0.75, 10)])
def test_a_run_of_an_earlier_version_has_the_best_of_its_curve(
    mode: str, best: float, step: int, tmp_path: Path
) -> None:
    """Without summary.json the state is unknown, and the monitored curve says what was best."""
    run = write_run(tmp_path / "a", {"checkpoint": {"monitor": "val/loss", "mode": mode}}, state="")
    write_curve(run, "val/loss", 0.75, float("nan"), 0.125, 0.5)
    row = read_run(run)
    assert (row.state, row.reason, row.seconds, row.problems) == ("unknown", None, None, [])
    assert row.best == Best("val/loss", mode, best, step, None, None)
    assert row.last == {"val/loss": 0.5}


def test_a_run_of_nan_only_has_no_best(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {}, state="")
    write_curve(run, "val/loss", float("nan"))
    row = read_run(run)
    assert row.best is None
    assert math.isnan(row.last["val/loss"])


def test_null_in_a_summary_is_a_value_that_was_not_finite(tmp_path: Path) -> None:
    """A mean over seeds must not leave out the one that diverged."""
    run = write_run(tmp_path / "a", {}, best=0.5, values={"val/loss": 0.7})
    text = (run / "summary.json").read_text()
    (run / "summary.json").write_text(text.replace("0.5", "null").replace("0.7", "null"))
    row = read_run(run)
    assert row.best is not None
    assert (math.isnan(row.best.value), math.isnan(row.last["val/loss"]), row.problems) == (True, True, [])


@pytest.mark.parametrize("text", ["", "{", '{"state": "fini', "[1]", "null", "\0", "[" * 100_000, '{"state": 3}'])
@pytest.mark.parametrize("name", ["summary.json", "eval/test/metrics.json"])
def test_damaged_files_are_problems(name: str, text: str, tmp_path: Path) -> None:
    """A half-written file is told, and the rest of the run is read."""
    run = write_run(tmp_path / "a", {"seed": 3}, best=0.5, values={}, test=0.9)
    (run / name).write_text(text)
    row = read_run(run)
    assert row.settings["seed"] == 3
    assert row.state == ("unknown" if name == "summary.json" else "finished")
    assert [problem.partition(" ")[0].rstrip(":") for problem in row.problems] == (
        [name] if text[:9] != '{"state":' or text.endswith("fini") else []
    )
    assert all("\n" not in problem for problem in row.problems)


@pytest.mark.parametrize("content", [b"model: [1", b"", b"\xff\xfe", b"- a\n", b"a: 1\na: 2\n"])
def test_a_damaged_config_is_a_problem(content: bytes, tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {}, best=0.5, values={})
    (run / "config.yaml").write_bytes(content)
    row = read_run(run)
    assert row.settings == {}
    assert row.best is not None
    assert len(row.problems) == 1
    assert row.problems[0].startswith("config.yaml")


@pytest.mark.parametrize("kind", ["pipe", "link", "sparse"])
@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "eval/test/metrics.json"])
def test_files_that_are_none_are_problems(kind: str, name: str, tmp_path: Path) -> None:
    """A stranger's directory must not hang, fill the memory, or show other files."""
    run = write_run(tmp_path / "a", {}, test=0.5)
    (run / name).unlink()
    if kind == "pipe":
        os.mkfifo(run / name)
    elif kind == "link":
        (tmp_path / "secret").write_text('{"state": "secret", "accuracy": 1}')
        (run / name).symlink_to(tmp_path / "secret")
    else:
        (run / name).touch()
        os.truncate(run / name, 1 << 40)
    row = read_run(run)
    assert [problem for problem in row.problems if problem.startswith(f"{name} cannot be read: it")] == row.problems
    assert (len(row.problems), row.state == "secret", "state" in row.settings) == (1, False, False)
    assert row.results == ({} if "metrics" in name else {"test/accuracy": 0.5})


def test_numbers_that_are_no_numbers_of_steps_are_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {"checkpoint": {"monitor": ["a"]}})
    (run / "summary.json").write_text('{"steps": NaN, "best": {"monitor": "a", "value": 1, "step": 1e999}}')
    row = read_run(run)
    assert (row.steps, row.best) == (None, None)
    (run / "summary.json").unlink()
    write_curve(run, "a", 1.0)
    assert read_run(run).best is None


def test_a_deep_tree_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "a", {})
    monkeypatch.chdir(tmp_path)
    for _ in range(1100):
        Path("d").mkdir()
        os.chdir("d")
    try:
        assert find_runs(tmp_path) == [tmp_path / "a"]
    finally:  # pytest cannot remove it
        while not Path().samefile(tmp_path):
            os.chdir("..")
            Path("d").rmdir()


def test_links_in_a_run_are_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {})
    (tmp_path / "other").mkdir()
    (run / "eval").symlink_to(tmp_path / "other")
    assert read_run(run).problems == ["eval is a link, which is not followed"]


def test_values_of_other_kinds_are_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {}, test=0.5)
    (run / "summary.json").write_text('{"state": "finished", "best": {"value": "x"}, "seconds": "1", "values": [1]}')
    (run / "eval/test/metrics.json").write_text('{"a": 1, "b": "x", "c": null, "d": NaN, "e": true, "f": {"g": 1}}')
    row = read_run(run)
    assert (row.seconds, row.best, row.last) == (None, None, {})
    assert row.results.keys() == {"test/a", "test/d"}
    assert row.problems == ["summary.json: `best` has no monitor, value or step"]


def test_evaluations_during_training_are_no_results(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {}, test=0.5)
    for stage in ("epoch_0002", "step_000000", "validate"):
        (run / "eval" / stage).mkdir()
        (run / "eval" / stage / "metrics.json").write_text('{"a": 1}')
    assert read_run(run).results == {"test/accuracy": 0.5, "validate/a": 1.0}


@pytest.mark.parametrize(("state", "expected"), [("running", "failed"), ("finished", "finished")])
def test_a_killed_run_failed_if_its_sweep_says_so(state: str, expected: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {}, state=state)
    (tmp_path / ".sweep").mkdir()
    (tmp_path / ".sweep/a.json").write_text(json.dumps({"state": "failed", "reason": "exit code -9"}))
    assert read_run(run).state == expected


def test_a_run_that_a_sweep_has_just_begun_is_running(tmp_path: Path) -> None:
    """It has no summary.json yet, as runs of earlier versions, which count as finished."""
    run = write_run(tmp_path / "a", {}, state="")
    assert read_run(run).state == "unknown"
    (tmp_path / ".sweep").mkdir()
    (tmp_path / ".sweep/a.json").write_text(json.dumps({"state": "begun", "reason": None}))
    assert read_run(run).state == "running"


def test_runs_are_found_at_any_level(tmp_path: Path) -> None:
    """Earlier runs, what sweeps keep, links, results in a run, and directories of other things are no runs."""
    for name in ("a", "sweep/0001", "sweep/0000", ".old/a", "sweep/.sweep/x", "a/eval/test"):
        write_run(tmp_path / name, {})
    (tmp_path / "sweep/out_of_fold/0000").mkdir(parents=True)
    (tmp_path / "sweep/out_of_fold/0000/metrics.json").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "loop").symlink_to(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in find_runs(tmp_path)]
    assert names == ["a", "sweep/0000", "sweep/0001"]
    assert find_runs(tmp_path / "a") == [tmp_path / "a"]
    assert [row.name for row in project.runs(tmp_path)] == ["a", "0000", "0001"]


def test_a_root_without_runs_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"contains no run\nrun: python cli\.py fit"):
        find_runs(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        find_runs(tmp_path / "no")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is not a directory"):
        find_runs(tmp_path / "file")


def test_a_frame_needs_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "a", {}, best=0.5)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="pip install pandas"):
        project.runs(tmp_path).to_pandas()


def test_a_frame_has_a_line_for_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its columns are those of the table, by their whole names."""

    class Pandas:
        DataFrame = list

    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    write_run(tmp_path / "a", {"seed": 3}, best=0.5, values={"val/loss": 0.75}, test=0.9)
    (line,) = project.runs(tmp_path).to_pandas()
    assert (line["path"], line["state"], line["seed"]) == (str(tmp_path / "a"), "finished", 3)
    assert (line["best val/loss"], line["last val/loss"], line["test/accuracy"]) == (0.5, 0.75, 0.9)


def test_runs_are_printed_without_their_settings(tmp_path: Path) -> None:
    """A notebook would show hundreds of settings of each run."""
    for number in range(22):
        write_run(tmp_path / f"r{number:02d}", {"seed": 3}, best=0.5, values={"val/loss": 0.75}, test=0.9)
    runs = project.runs(tmp_path)
    names = ", ".join(f"r{number:02d}" for number in range(20))
    assert str(runs) == f"22 runs: {names}, and 2 more\nmetrics: best val/loss, last val/loss, test/accuracy"
    assert repr(project.runs(tmp_path / "r00")).startswith("1 run: r00\n")
    assert "seed" not in repr(runs[0])
    assert "test/accuracy" in repr(runs[0])
