"""Rows of tables."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from loguru import logger

from project.datasets.table import Table
from project.registry import ConfigError

TRAIN = "id,age,city,kind,price\n1,20,Rome,b,100\n2,NA,Oslo,a,300\n\n3,40,,b,200\n4, 30 ,Rome,b,\n"
SETTINGS: dict[str, Any] = {
    "reference": "train.csv",
    "numeric": ["age"],
    "categorical": ["city"],
    "labels": {"label": "kind"},
    "targets": {"target": "price"},
}


def table(folder: Path, text: str = TRAIN, name: str = "train.csv", **changes: Any) -> Table:
    (folder / name).write_text(text, encoding="utf-8")
    return Table(name, **(SETTINGS | {"data_dir": str(folder)} | changes))


def batch(dataset: Table) -> dict[str, list[Any]]:
    return {name: tensor.tolist() for name, tensor in dataset.__getitems__(list(range(len(dataset)))).items()}


def test_columns_become_tensors(tmp_path: Path, messages: list[str]) -> None:
    """Numbers are standardized, categories and classes numbered, and rows without a target left out with a warning."""
    dataset = table(tmp_path)
    assert messages == [f"{tmp_path / 'train.csv'}: 1 of 4 rows are left out, which lack kind or price, such as line 6"]
    found = batch(dataset)
    std = 200**0.5 / 3**0.5  # of 20, 30, 40
    assert found.pop("numeric") == [[pytest.approx(-10 / std)], [0.0], [pytest.approx(10 / std)]]
    assert found == {
        "missing": [[False], [True], [False]],
        "categorical": [[2], [1], [0]],
        "label": [1, 0, 1],
        "target": [100.0, 300.0, 200.0],
    }
    sample = dataset[1]
    assert {name: (value.dtype, value.shape) for name, value in sample.items()} == {
        "numeric": (torch.float32, (1,)),
        "missing": (torch.bool, (1,)),
        "categorical": (torch.int64, (1,)),
        "label": (torch.int64, ()),
        "target": (torch.float32, ()),
    }
    assert [dataset.name(index) for index in range(3)] == ["line 2", "line 3", "line 5"]


def test_attributes_for_the_net(tmp_path: Path) -> None:
    dataset = table(tmp_path)
    assert (dataset.num_numeric, dataset.cardinalities, dataset.classes) == (1, [3], ["a", "b"])
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.scale == pytest.approx([200, (20000 / 3) ** 0.5])


def test_classes_are_those_of_label(tmp_path: Path) -> None:
    """Predicted labels get their names."""
    both = table(tmp_path, labels={"home": "city", "label": "kind"}, categorical=[])
    assert (both.classes, both.labels.tolist()) == (["a", "b"], [1, 0])
    assert table(tmp_path, labels={"home": "city"}, categorical=[]).classes == ["Oslo", "Rome"]


def test_another_set_uses_what_the_reference_has(tmp_path: Path) -> None:
    """Its means, categories and classes are those of the training set; an unknown category is 0, which is told."""
    table(tmp_path)
    text = "age,city,kind,price\n30,Paris,b,1\n40,Rome,b,2\n"
    said: list[str] = []
    sink = logger.add(said.append, format="{message}", level="WARNING")
    dataset = table(tmp_path, text, "val.csv")
    logger.remove(sink)
    assert "val.csv: 1 of 2 values of 'city' are not in" in "".join(said)
    found = batch(dataset)
    assert found["numeric"] == [[0.0], [pytest.approx(1.2247449)]]
    assert (found["categorical"], found["label"]) == ([[0], [2]], [1, 1])
    assert (dataset.classes, dataset.cardinalities, dataset.scale[0]) == (["a", "b"], [3], 200)
    with pytest.raises(OSError, match=r"val.csv, line 2: 'c' is not one of the classes a, b of 'kind' in .*train.csv"):
        table(tmp_path, text.replace("Paris,b", "Paris,c"), "val.csv")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_byte_order_mark_and_quotes(tmp_path: Path, separator: str) -> None:
    """Also with a space after the separator, and unnamed columns at the end, as spreadsheets write them."""
    rows = [["\ufeffx", '"the city"'], ["1.5", ' "São' + separator + 'Paulo"'], ["-2e1", '"a ""b"""']]
    text = "\n".join(separator.join([*row, "", ""]) for row in rows)
    dataset = table(tmp_path, text, numeric=["x"], categorical=[], labels={"label": "the city"}, targets={})
    assert batch(dataset)["label"] == [0, 1]
    assert batch(dataset)["numeric"] == [[1.0], [-1.0]]
    assert dataset.classes == [f"São{separator}Paulo", 'a "b"']


def test_numbered_classes_are_sorted_as_numbers(tmp_path: Path) -> None:
    dataset = table(tmp_path, "x,y\n1,10\n1,9\n1,2\n", numeric=["x"], categorical=[], labels={"label": "y"}, targets={})
    assert (dataset.classes, batch(dataset)["label"]) == (["2", "9", "10"], [2, 1, 0])
    assert "categorical" not in dataset[0]


def test_constant_column_is_not_divided_by_rounding_errors(tmp_path: Path) -> None:
    """The computed mean of equal numbers is not one of them, so their computed standard deviation is not 0."""
    settings: dict[str, Any] = {"numeric": ["x"], "categorical": [], "labels": {}, "targets": {"target": "y"}}
    dataset = table(tmp_path, "x,y\n0.1,0.1\n0.1,0.1\n0.1,0.1\n", **settings)
    assert dataset.tensors["numeric"].abs().max() < 1e-6
    assert dataset.scale == pytest.approx([0.1, 1])


@pytest.mark.parametrize(
    ("text", "changes", "error", "message"),
    [
        (
            TRAIN,
            {"numeric": ["agee"]},
            ConfigError,
            "train.csv has no column 'agee'; did you mean 'age'?\nknown: id, age",
        ),
        (TRAIN, {"numeric": ["city"]}, OSError, "train.csv, line 2: 'Rome' in the numeric column 'city' is no finite"),
        (
            TRAIN.replace("300", '"30,5"'),
            {},
            OSError,
            "'30,5' in the numeric column 'price' is no finite float32 number; write it with a decimal point",
        ),
        (TRAIN.replace("40", "inf"), {}, OSError, "train.csv, line 5: 'inf' in the numeric column 'age' is no finite"),
        (TRAIN.replace("300", "1e39"), {}, OSError, "line 3: '1e39' in the numeric column 'price' is no finite"),
        (TRAIN, {"numeric": [], "categorical": []}, ConfigError, "Table needs columns in `numeric` or `categorical`"),
        (TRAIN, {"numeric": ["age", "price"]}, ConfigError, "Table.numeric has the column 'price', which is to be"),
        (TRAIN, {"numeric": ["age", "age"]}, ConfigError, "Table.numeric has 'age' twice"),
        (TRAIN, {"labels": {"numeric": "kind"}}, ConfigError, "`labels` and `targets` name a tensor 'numeric', which"),
        (TRAIN, {"labels": {"target": "kind"}}, ConfigError, "`labels` and `targets` name a tensor 'target', which"),
        (TRAIN + "5,1\n", {}, OSError, "train.csv, line 7: 2 values for 5 columns"),
        (TRAIN.replace("id", "age"), {}, OSError, "train.csv has several columns 'age'"),
        ("age,city,kind,price\n", {}, OSError, "train.csv has no rows; its first line names the columns"),
        ("", {}, ConfigError, "train.csv has no column 'age'\nknown: none"),
        (
            "age,city,kind\n1,x,a",
            {},
            ConfigError,
            "no column 'price'\nknown: age, city, kind\nIf new rows lack it, set targets: ",
        ),
        ('age,city,kind,price\n1,"a', {}, OSError, "train.csv cannot be read as csv: unexpected end of data"),
        ("age,city,kind,price\nNA,a,b,1\n", {}, OSError, "train.csv has no number in the column 'age'"),
    ],
)
def test_mistakes_name_file_line_and_column(
    tmp_path: Path, text: str, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        table(tmp_path, text, **changes)
    assert message in str(caught.value)


def test_missing_files_and_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none.csv does not exist"):
        Table("none.csv", "none.csv", categorical=["x"], data_dir=str(tmp_path))
    (tmp_path / "latin.csv").write_bytes("x\nZürich\n".encode("latin-1"))
    with pytest.raises(OSError, match=r"latin.csv cannot be read as csv: 'utf-8' codec"):
        Table("latin.csv", "latin.csv", categorical=["x"], data_dir=str(tmp_path))


def test_parquet_has_the_same_rows_as_csv(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {
        "age": [20.0, None, float("nan"), 30.0],
        "city": ["Rome", "Oslo", None, "Rome"],
        "kind": [7, 10, 7, 7],
        "price": [100, 300, 200, None],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    dataset = Table("t.parquet", **SETTINGS | {"reference": "t.parquet"}, data_dir=str(tmp_path))
    assert batch(dataset) == {
        "numeric": [[-1.0], [0.0], [0.0]],
        "missing": [[False], [True], [True]],
        "categorical": [[2], [1], [0]],
        "label": [0, 1, 0],
        "target": [100.0, 300.0, 200.0],
    }
    assert (dataset.classes, dataset.name(2)) == (["7", "10"], "row 3")
    (tmp_path / "broken.parquet").write_text("no parquet")
    with pytest.raises(OSError, match=r"broken.parquet cannot be read as parquet"):
        Table("broken.parquet", "broken.parquet", numeric=["x"], data_dir=str(tmp_path))


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine shows a missing module as `needs the package pyarrow: pip install pyarrow`."""
    (tmp_path / "t.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match="pyarrow"):
        Table("t.parquet", "t.parquet", numeric=["x"], data_dir=str(tmp_path))
