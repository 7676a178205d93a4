"""Out-of-fold predictions: a row for each sample of the whole dataset, of the run that was not trained on it."""

import csv
import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from project.study.sweep import out_of_fold
from project.study.sweep.command import main
from project.study.sweep.definition import Definition
from project.study.sweep.directory import SweepDirectory
from project.study.sweep.out_of_fold import _add_fold, _indices, _to_csv, summarize
from project.study.sweep.plan import Trial, runs_of
from project.study.sweep.process import Children
from tests.study.sweep.folded import Fold

FOLD = "tests.study.sweep.folded.Fold"


def test_rows_have_the_index_in_the_whole_dataset_and_the_fold() -> None:
    rows = _add_fold('index,name,loss\n0,"a,b",0.5\n1,c,1e-05\n', np.array([4, 2]), 1)
    rows += _add_fold("index,name,loss,label\n0,d,2,7\n", np.array([3]), 0)
    assert _to_csv(rows) == 'index,fold,name,loss\n2,1,c,1e-05\n3,0,d,2\n4,1,"a,b",0.5\n'


def test_rows_of_one_sample_stay_together() -> None:
    rows = _add_fold("index,x\n0,a\n0,b\n1,c\n", np.array([9, 2]), 0)
    assert _to_csv(rows) == "index,fold,x\n2,0,c\n9,0,a\n9,0,b\n"


def test_validation_set_that_is_not_divided_has_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: list[str]
) -> None:
    """One beside that of Fold, the same in all runs; the metrics of both are averaged."""
    for fold in range(2):
        for name in ("cv", "fixed"):
            (tmp_path / f"{fold}/eval/validate/{name}").mkdir(parents=True)
            (tmp_path / f"{fold}/eval/validate/{name}/samples.csv").write_text(f"index,x\n0,{fold}\n")
        (tmp_path / f"{fold}/eval/validate/metrics.json").write_text(json.dumps({"cv/x": fold, "fixed/x": fold}))
    monkeypatch.setattr(
        out_of_fold, "_whole_indices", lambda run: {"cv": np.array([int(run.name)]), "fixed": np.array([3])}
    )
    out_of_fold._write(tmp_path / "out", [tmp_path / "0", tmp_path / "1"])
    assert (tmp_path / "out/cv/samples.csv").read_text() == "index,fold,x\n0,0,0\n1,1,1\n"
    assert not (tmp_path / "out/fixed").exists()
    assert json.loads((tmp_path / "out/metrics.json").read_text())["fixed/x"]["mean"] == 0.5
    assert messages[-1].endswith("fixed has no samples.csv: sample 3 is in the validation sets of several folds")


def test_index_is_that_of_the_innermost_dataset() -> None:
    fold = Fold(k=3, fold=0, part="val")

    class Last:
        dataset, indices = fold, [2, 1]

        def __len__(self) -> int:
            return 2

    assert _indices(Last()).tolist() == [fold.indices[2], fold.indices[1]]
    assert _indices(fold.dataset).tolist() == [*range(267)]

    class Renamed:  # numbers its samples as the fold does
        dataset = fold

        def __len__(self) -> int:
            return len(fold)

    assert _indices(Renamed()).tolist() == list(fold.indices)


def test_summary_of_folds() -> None:
    summary = summarize([{"a": 1.0, "b": 2.0}, {"a": 2.0}, {"a": 4.5}])
    assert summary == {"a": {"mean": 2.5, "std": math.sqrt(3.25), "n": 3}, "b": {"mean": 2.0, "std": None, "n": 1}}


@pytest.mark.parametrize(("number", "errors"), [(0, 1), (signal.SIGTERM, 0)])
def test_stage_that_a_signal_stopped_is_no_error(
    number: int, errors: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: list[str]
) -> None:
    monkeypatch.setattr(out_of_fold, "run_stage", lambda *_: 143)
    definition, directory, trial = Definition(grid={}, folds=2), SweepDirectory(tmp_path), Trial(0, {})
    directory.create()
    for run in runs_of(trial, definition):
        (tmp_path / run.name).mkdir()
        directory.record_end(run, "finished")
    children = Children()
    children.number = number
    assert out_of_fold.finish(definition, directory, trial, None, children) == 143
    assert sum("validate of 0000_fold0 ended with exit code 143" in line for line in messages) == errors


@pytest.mark.slow
def test_a_sweep_over_folds(tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call writes nothing; if a result is missing, as after a kill, it writes the same."""
    monkeypatch.chdir(tmp_path)
    entry = {"type": FOLD, "k": 2, "fold": 0}
    data: dict[str, Any] = {split: entry | {"part": split} for split in ("train", "val")}
    tiny({"data": data, "trainer": {"max_epochs": 2}})
    (tmp_path / "cv.yaml").write_text("{grid: {model.net.hidden: [4]}, seeds: 2, folds: 3, monitor: val/sum}")
    argv = ["sweep", "--config", "tiny.yaml", "--sweep", "cv.yaml"]
    assert main(argv) == 0
    sweep = tmp_path / "experiments" / "cv"
    results = sorted((sweep / "out_of_fold").rglob("*.*"))
    assert [str(path.relative_to(sweep / "out_of_fold")) for path in results] == [
        f"0000_seed{seed}/{name}" for seed in (0, 1) for name in ("metrics.json", "samples.csv")
    ]
    rows = list(csv.DictReader((sweep / "out_of_fold" / "0000_seed1" / "samples.csv").open()))
    assert [int(row["index"]) for row in rows] == [*range(267)]
    assert [int(row["fold"]) for row in rows] == [(266 - index) % 3 for index in range(267)]
    for fold in range(3):
        run = sweep / f"0000_seed1_fold{fold}" / "eval" / "validate"
        losses = [row["cross_entropy"] for row in csv.DictReader((run / "samples.csv").open())]
        assert losses == [row["cross_entropy"] for row in rows if row["fold"] == str(fold)]
    metrics = json.loads((sweep / "out_of_fold" / "0000_seed1" / "metrics.json").read_text())
    each = [float(row["cross_entropy"]) for row in rows]
    assert metrics["cross_entropy"]["mean"] == pytest.approx(np.mean(each), rel=1e-5)  # folds of one size
    assert metrics["cross_entropy"]["n"] == 3

    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in results}
    assert main(argv) == 0
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in results} == before
    results[0].unlink()
    assert main(argv) == 0
    assert {path: path.read_bytes() for path in results} == {path: content for path, (content, _) in before.items()}
