"""samples.csv has a row for each sample, in the order of the index and with all digits."""

import csv
import io

import pytest
import torch

from project.core.errors import ConfigError
from project.core.evaluation.sample_table import SampleTable, concat, to_csv


def test_table_contains_the_rows_of_all_batches() -> None:
    table = SampleTable()
    assert table.columns() == {}
    sizes = [3, 5000, 1, 20_000]
    count = sum(sizes)
    expected = {"index": torch.arange(count), "pair": torch.rand(count, 2), "flag": torch.rand(count) < 0.5}
    for parts in zip(*(value.split(sizes) for value in expected.values()), strict=True):
        table.add(dict(zip(expected, parts, strict=True)))
    assert table.count == count
    assert list(table.columns()) == list(expected)
    for name, column in table.columns().items():
        assert column.dtype == expected[name].dtype
        assert torch.equal(column, expected[name])


def test_first_batch_sets_the_columns() -> None:
    table = SampleTable()
    table.add({"index": torch.tensor([0, 1]), "a": torch.tensor([1, 2]), "b": torch.ones(2, 3)})
    table.add({"index": torch.tensor([2]), "a": torch.tensor([0.5]), "b": torch.ones(1, 3), "late": torch.ones(1)})
    assert list(table.columns()) == ["index", "a", "b"]
    assert table.columns()["a"].tolist() == [1, 2, 0.5]
    with pytest.raises(ConfigError, match=r"^samples\.csv: 'a' is missing in the batch after 3 samples$"):
        table.add({"index": torch.tensor([3])})
    with pytest.raises(ConfigError, match=r"^samples\.csv: 'b' is \(1, 2\) in the batch after 3 samples$"):
        table.add({"index": torch.tensor([3]), "a": torch.tensor([1]), "b": torch.ones(1, 2)})


def test_predictions_of_sequences_are_no_column_although_the_first_have_one_element() -> None:
    """An evaluation of sequences that are sorted by length, one in a batch, would end with an error."""
    table, one = SampleTable(), torch.ones(1)
    table.add({"index": torch.tensor([0]), "prediction.label": one, "target.label": one, "loss": one})
    table.add({"index": torch.tensor([1]), "loss": one})
    assert list(table.columns()) == ["index", "loss"]


def test_concat_skips_empty_tables_and_columns_that_some_lack() -> None:
    one, two = {"index": torch.tensor([2, 0]), "prediction": torch.ones(2)}, {"index": torch.tensor([1])}
    assert {name: column.tolist() for name, column in concat([one, {}, two]).items()} == {"index": [2, 0, 1]}
    assert concat([{}]) == {}


def test_csv_is_sorted_and_vectors_have_several_columns() -> None:
    columns = {
        "index": torch.tensor([2, 0, 1]),
        "a": torch.tensor([0.5, 1.5, torch.nan]),
        "b": torch.tensor([[1, 2], [3, 4], [5, 6]]),
        "c": torch.tensor([True, False, True]),
    }
    assert to_csv(columns) == "index,a,b_0,b_1,c\n0,1.5,3,4,False\n1,nan,5,6,True\n2,0.5,1,2,True\n"


def test_csv_keeps_every_bit_of_floats() -> None:
    single, double = torch.rand(1000) * 1e-3, torch.rand(1000, dtype=torch.float64)
    text = to_csv({"index": torch.arange(1000), "single": single, "double": double})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert torch.equal(torch.tensor([float(row["single"]) for row in rows]), single)
    assert [float(row["double"]) for row in rows] == double.tolist()


def test_csv_contains_names_of_samples() -> None:
    names = ['0, or "so"', "100 %", "two\nlines"]
    text = to_csv({"index": torch.tensor([1, 0, 2]), "a": torch.tensor([0.5, 1.5, 2.0])}, lambda index: names[index])
    assert list(csv.reader(io.StringIO(text))) == [
        ["index", "name", "a"],
        *([str(index), names[index], value] for index, value in enumerate(["1.5", "0.5", "2"])),
    ]


def test_classes_have_their_names_beside_them() -> None:
    """A number without a name has an empty cell; a column of floats is none of classes."""
    columns = {"index": torch.arange(4), "label": torch.tensor([1, 0, 2, -1]), "score": torch.tensor([0.5, 1, 2, 3])}
    classes = {"label": ["a", 'b "c", d'], "score": ["x"], "other": ["y"]}
    assert to_csv(columns, None, classes).splitlines() == [
        "index,label,label_name,score",
        '0,1,"b ""c"", d",0.5',
        "1,0,a,1",
        "2,2,,2",
        "3,-1,,3",
    ]
