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
        ({"train": {"type": "Concat", "parts": [FOLD["dataset"]]}}, {"type": "Rows", "path": "FILE"}),
        ({"eval": {"a": FOLD["dataset"]}}, {"type": "Rows", "path": "FILE"}),
    ],
    ids=["predict", "eval", "in a fold", "in a list", "named"],
)
def test_command_gives_the_dataset_the_file(data: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    """The file is absolute, since a dataset looks in `data_dir`; what is null is left out."""
    (file := tmp_path / "new rows.csv").touch()
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
    [None, {}, {"predict": {"type": "Rows", "path": "a.parquet"}}, {"eval": {"type": "Rows"}}],
)
def test_no_command_without_a_dataset_of_such_files(data: Any, tmp_path: Path) -> None:
    (tmp_path / "new.csv").touch()
    assert find_reading(data, tmp_path / "new.csv") is None


@pytest.mark.parametrize("name", ["*.csv", "."])
def test_no_command_for_what_is_no_file(name: str, tmp_path: Path) -> None:
    """No dataset reads a pattern or a directory in place of its file."""
    assert find_reading({"eval": ROWS}, tmp_path / name) is None
