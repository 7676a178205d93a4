"""Tests of the results of evaluations on a page."""

import json
import math
from pathlib import Path

from project.study.report.embedding import Embedder
from project.study.report.evaluation import metric_tiles, show_evaluations
from project.study.runs import read_run
from tests.study.report.run_files import SAMPLES, write_files, write_picture


def test_metrics_of_all_evaluations_are_one_table(tmp_path: Path) -> None:
    """Stages come first, a sum that repeats the only loss is left out, and only the last epoch is shown in full."""
    files = {f"eval/epoch_{number:04d}/metrics.json": json.dumps({"l1": number, "sum": number}) for number in range(40)}
    write_files(tmp_path, files | {"eval/test/metrics.json": json.dumps({"l1": 0.25, "sum": 0.25, "psnr": math.nan})})
    write_picture(tmp_path / "eval/epoch_0038/visual.png")
    write_picture(tmp_path / "eval/epoch_0039/visual.png")
    embedder = Embedder([])
    table, last = map(str, show_evaluations(read_run(tmp_path), [], embedder))
    assert "10 evaluations are left out" in table
    assert table.index(">test<") < table.index(">epoch_0000<") < table.index(">epoch_0039<")
    assert "sum" not in table
    assert "psnr" in table
    assert "Results of epoch_0039" in last
    assert embedder.problems == []


def test_each_dataset_has_a_heading(tmp_path: Path) -> None:
    write_files(tmp_path, {"eval/test/set5/samples.csv": SAMPLES, "eval/test/set14/samples.csv": SAMPLES})
    (shown,) = show_evaluations(read_run(tmp_path), ["hinge"], Embedder([]))
    assert shown.index("Dataset set14") < shown.index("Dataset set5")
    assert shown.count("<h3>Highest hinge") == 2


def test_tiles_are_of_the_test_if_there_is_one() -> None:
    results = {"validate/l1": 2.0, "test/l1": 3.0, "test/sum": 3.0, "test/psnr": math.nan}
    assert metric_tiles(results) == [("test/l1", 3.0)]
    del results["test/l1"], results["test/sum"], results["test/psnr"]
    assert metric_tiles(results) == [("validate/l1", 2.0)]
