"""metrics.csv never loses a row that was saved."""

import csv
from pathlib import Path
from typing import Any

import pytest

from project.core.csv_logger import MetricsFile


def log(file: MetricsFile, **values: Any) -> None:
    file.log_metrics(values, values.get("step", 0))
    file.save()


def test_new_columns_are_added_to_earlier_rows(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "new")
    log(file, loss=0.5, step=1)
    log(file, accuracy=1, step=2)
    log(file, loss=float("nan"), step=3)
    assert file.path.read_text() == "accuracy,loss,step\n,0.5,1\n1,,2\n,nan,3\n"
    assert file.num_rows == 3


def test_interrupted_write_of_new_columns_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = MetricsFile(tmp_path)
    log(file, loss=0.5, step=1)
    before = file.path.read_bytes()
    monkeypatch.setattr(csv.DictWriter, "writerows", lambda *_: exec("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        log(file, accuracy=1, step=2)
    assert file.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_rewound_file_has_the_columns_of_its_rows(tmp_path: Path) -> None:
    """A checkpoint without the number of rows keeps those of earlier steps."""
    file = MetricsFile(tmp_path)
    for values in ({"loss": 0.5, "step": 1}, {"step": 1, "accuracy": 1}, {"step": 2, "loss": 0.25}):
        log(file, **values)
    resumed = MetricsFile(tmp_path)
    resumed.rewind(1, step=1, archive=tmp_path / "old/metrics.csv")
    assert (tmp_path / "old/metrics.csv").read_text() == "accuracy,loss,step\n,0.5,1\n1,,1\n,0.25,2\n"
    assert file.path.read_text() == "loss,step\n0.5,1\n"
    log(resumed, step=2, loss=0.125)
    assert file.path.read_text() == "loss,step\n0.5,1\n0.125,2\n"
    resumed.rewind(None, step=2, archive=None)
    assert (file.path.read_text(), resumed.num_rows) == ("loss,step\n0.5,1\n", 1)
