"""The dataset that reads the files which `predict --files` does not take, and the command that predicts with it."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from project.core.cli.file_datasets import find_reading, predict_command
from project.core.config.any_texts import KeptText

ROWS: dict[str, Any] = {"type": "Rows", "path": "a.CSV", "columns": [KeptText("1")], "augmentation": None}
FOLD = {"type": "Fold", "dataset": {"type": "Rows", "path": "fold.csv"}, "k": 5}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"eval": ROWS, "predict": ROWS}, None),
        ({"train": FOLD, "eval": ROWS, "predict": None}, {"type": "Rows", "path": "FILE", "columns": ["1"]}),
        ({"train": FOLD, "predict": {"type": "Folder", "path": "new"}}, {"type": "Rows", "path": "FILE"}),
    ],
    ids=["predict", "eval", "in a fold"],
)
def test_command_gives_the_dataset_the_file(data: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    """The file is absolute, since a dataset looks in `data_dir`; what is null is left out."""
    file = tmp_path / "new rows.csv"
    reading = find_reading(data, file)
    assert reading is not None
    words = shlex.split(predict_command("a run", reading))
    assert (reading.name, words[-5:-2]) == ("Rows", ["predict", "--ckpt_path", "a run"])
    if expected is None:
        assert words[-2:] == ["--data.predict.path", str(file)]
    else:
        assert words[-2] == "--data.predict"
        assert yaml.safe_load(words[-1]) == expected | {"path": str(file)}


@pytest.mark.parametrize(
    "data",
    [None, {}, {"predict": {"type": "Rows", "path": "a.parquet"}}, {"eval": {"a": ROWS}}, {"eval": {"type": "Rows"}}],
)
def test_no_command_without_a_dataset_of_such_files(data: Any) -> None:
    assert find_reading(data, Path("new.csv")) is None
