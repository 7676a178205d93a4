import csv
import io

import pytest
import torch

from project.core.errors import ConfigError
from project.core.rows import Rows, join, table


def test_rows_of_batches() -> None:
    rows = Rows()
    assert rows.columns() == {}
    sizes = [3, 5000, 1, 20_000]
    whole = {"index": torch.arange(sum(sizes)), "pair": torch.rand(sum(sizes), 2), "sure": torch.rand(sum(sizes)) < 0.5}
    for parts in zip(*(value.split(sizes) for value in whole.values()), strict=True):
        rows.add(dict(zip(whole, parts, strict=True)))
    assert rows.count == sum(sizes)
    for name, column in rows.columns().items():
        assert column.dtype == whole[name].dtype
        assert torch.equal(column, whole[name])


def test_the_first_batch_says_what_the_columns_are() -> None:
    rows = Rows()
    rows.add({"index": torch.tensor([0, 1]), "a": torch.tensor([1, 2]), "b": torch.ones(2, 3)})
    rows.add({"index": torch.tensor([2]), "a": torch.tensor([0.5]), "b": torch.ones(1, 3), "late": torch.ones(1)})
    assert list(rows.columns()) == ["index", "a", "b"]
    assert rows.columns()["a"].tolist() == [1, 2, 0.5]
    with pytest.raises(ConfigError, match="'a' is missing in the batch behind 3 samples"):
        rows.add({"index": torch.tensor([3])})
    with pytest.raises(ConfigError, match=r"'b' is \(1, 2\) in the batch behind 3 samples"):
        rows.add({"index": torch.tensor([3]), "a": torch.tensor([1]), "b": torch.ones(1, 2)})


def test_join_leaves_out_who_has_none() -> None:
    one, two = {"index": torch.tensor([2, 0])}, {"index": torch.tensor([1])}
    assert join([one, {}, two])["index"].tolist() == [2, 0, 1]
    assert join([{}]) == {}


def test_table_is_sorted_and_spreads_vectors() -> None:
    rows = {
        "index": torch.tensor([2, 0, 1]),
        "a": torch.tensor([0.5, 1.5, torch.nan]),
        "b": torch.tensor([[1, 2], [3, 4], [5, 6]]),
        "c": torch.tensor([True, False, True]),
    }
    assert table(rows) == "index,a,b_0,b_1,c\n0,1.5,3,4,False\n1,nan,5,6,True\n2,0.5,1,2,True\n"


def test_table_keeps_every_bit() -> None:
    single, double = torch.rand(1000) * 1e-3, torch.rand(1000, dtype=torch.float64)
    read = list(csv.DictReader(io.StringIO(table({"index": torch.arange(1000), "single": single, "double": double}))))
    assert torch.equal(torch.tensor([float(row["single"]) for row in read]), single)
    assert [float(row["double"]) for row in read] == double.tolist()


def test_table_has_the_samples_names() -> None:
    names = ['0, or "so"', "100 %", "two\nlines"]
    text = table({"index": torch.tensor([1, 0, 2]), "a": torch.tensor([0.5, 1.5, 2.0])}, lambda index: names[index])
    assert list(csv.reader(io.StringIO(text))) == [
        ["index", "name", "a"],
        *([str(index), names[index], value] for index, value in enumerate(["1.5", "0.5", "2"])),
    ]
