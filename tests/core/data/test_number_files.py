"""Numbers of csv and npz files, and messages for files that do not have what a net takes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from project.core.data.number_files import OtherFilesError, read_numbers
from project.core.errors import ConfigError
from project.deploy.inputs import Numbers

BOTH = {"point": Numbers((2,)), "count": Numbers((), "int64")}
VECTOR = {"point": Numbers((2,))}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_columns_are_found_by_their_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "count; point_1; point_0\n3; 0.5; 1\n\n4.0; -1e3; 2\n")
    arrays = read_numbers(path, BOTH)
    assert {name: (array.dtype.name, array.tolist()) for name, array in arrays.items()} == {
        "point": ("float32", [[1, 0.5], [2, -1000]]),
        "count": ("int64", [3, 4]),
    }


def test_columns_of_a_single_vector_may_have_any_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "height,width\n1,2\n3,4\n")
    assert read_numbers(path, VECTOR)["point"].tolist() == [[1, 2], [3, 4]]
    assert read_numbers(path, {"point": Numbers((None,))})["point"].tolist() == [[1, 2], [3, 4]]


def test_columns_are_refused_where_another_dataset_reads_them(tmp_path: Path) -> None:
    """Numbers which that dataset standardizes would be predicted as they are, wrongly and without a word."""
    with pytest.raises(OtherFilesError, match="has no column 'point_0'"):
        read_numbers(write(tmp_path / "a.csv", "height,width\n1,2\n"), VECTOR, any_names=False)
    path = write(tmp_path / "b.csv", "point_0,point_1\n1,2\n")
    assert read_numbers(path, VECTOR, any_names=False)["point"].tolist() == [[1, 2]]


def test_order_of_named_columns_does_not_matter_for_a_single_vector(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "point_1,point_0\n1,2\n")
    assert read_numbers(path, VECTOR)["point"].tolist() == [[2, 1]]


@pytest.mark.parametrize(
    ("texts", "dtype", "values"),
    [
        (["1", "0", "True", "false", "1.0"], "bool", [True, False, True, False, True]),
        (["9007199254740993", "-9223372036854775808", "1e3"], "int64", [2**53 + 1, -(2**63), 1000]),
        (["18446744073709551615", "0"], "uint64", [2**64 - 1, 0]),
    ],
)
def test_booleans_and_large_integers_of_a_csv_are_exact(
    texts: list[str], dtype: str, values: list[Any], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", "\n".join(["x", *texts]))
    array = read_numbers(path, {"x": Numbers((), dtype)})["x"]
    assert (array.dtype.name, array.tolist()) == (dtype, values)


@pytest.mark.parametrize(
    ("text", "dtype", "message"),
    [
        ("2", "bool", "no boolean (0, 1, false or true)"),
        ("", "bool", "no boolean (0, 1, false or true)"),
        ("9223372036854775808", "int64", "no integer that int64 can hold"),
        ("-1", "uint8", "no integer that uint8 can hold"),
        ("9007199254740993.0", "int64", "no integer"),  # float64 would make another of it
        ("inf", "int64", "no integer"),
    ],
)
def test_value_of_a_csv_that_a_dtype_cannot_hold_is_refused(
    text: str, dtype: str, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", f"x,y\n{text},0\n")
    with pytest.raises(ConfigError) as raised:
        read_numbers(path, {"x": Numbers((), dtype), "y": Numbers()})
    assert str(raised.value) == f"--files: {path}, line 2, column 'x': '{text}' is {message}"


def test_arrays_are_found_by_their_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", point=np.array([[1.0, 2.0]]), count=np.array([3], np.int32))
    arrays = read_numbers(tmp_path / "a.npz", BOTH)
    assert {name: (array.dtype.name, array.tolist()) for name, array in arrays.items()} == {
        "point": ("float32", [[1, 2]]),
        "count": ("int64", [3]),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count,point_0\n1,2\n", "has no column 'point_1'; did you mean 'point_0'?\nfound: count, point_0"),
        (
            "count,point_0,point_1,x\n1,2,3,4\n",
            ": the net does not take the column 'x'\nknown: point_0, point_1, count",
        ),
        ("count,count,point_0,point_1\n1,1,2,3\n", "has several columns 'count'"),
        ("count,point_0,point_1\n1,2,3\n1,2,3\n1,2,many\n", ", line 4, column 'point_1': 'many' is no number"),
        ("count,point_0,point_1\n1,,3\n", ", line 2, column 'point_0': '' is no number"),
        ("count,point_0,point_1\n1,nan,3\n", ", line 2, column 'point_0': 'nan' is no number"),
        ("count,point_0,point_1\n1.5,2,3\n", ", line 2, column 'count': '1.5' is no integer"),
        ("count,point_0,point_1\n1,2\n", ", line 2: 2 values for 3 columns"),
        ("count,point_0,point_1\n", "has no rows; its first line names the columns"),
        ("", "has no column 'point_0'\nfound: none"),
        (
            "age,income\n1,2\n",
            "has no column 'point_0'\nfound: age, income\n"
            "It needs the inputs of the net; a dataset that makes them from other files is data.predict",
        ),
    ],
    ids=[
        "missing",
        "unknown",
        "repeated",
        "text",
        "empty",
        "nan",
        "decimals",
        "short",
        "no rows",
        "empty file",
        "data",
    ],
)
def test_csv_that_lacks_what_the_net_takes_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(ConfigError) as raised:
        read_numbers(path, BOTH)
    assert str(raised.value) == f"--files: {path}{'' if message[0] in ',:' else ' '}{message}"


def test_other_number_of_columns_for_a_single_vector_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b,c\n1,2,3\n")
    with pytest.raises(ConfigError, match=r"a.csv has 3 columns, and point has 2 numbers$"):
        read_numbers(path, VECTOR)


def test_csv_for_a_matrix_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a\n1\n")
    with pytest.raises(ConfigError, match=r"map has the shape \(2, any\), for which a csv has no columns; use a .npz"):
        read_numbers(path, {"map": Numbers((2, None))})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"point": np.zeros((1, 2))}, "has no array 'count'; did you mean 'point'?\nfound: point"),
        (
            {"point": np.zeros((1, 2)), "count": np.zeros(1, int), "other": np.zeros(1)},
            ": the net does not take the array 'other'\nknown: point, count",
        ),
        ({"point": np.zeros((2, 2)), "count": np.zeros(1, int)}, "has arrays of different lengths: point 2, count 1"),
        ({"point": np.zeros((0, 2)), "count": np.zeros(0, int)}, "has no rows"),
    ],
    ids=["missing", "unknown", "lengths", "no rows"],
)
def test_npz_that_lacks_what_the_net_takes_is_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(ConfigError) as raised:
        read_numbers(path, BOTH)
    assert str(raised.value) == f"--files: {path}{'' if message[0] in ',:' else ' '}{message}"


@pytest.mark.parametrize("point", [np.zeros((1, 3)), np.full((1, 2), np.nan), np.array([["a", "b"]])])
def test_npz_with_other_values_is_refused(point: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", point=point)
    with pytest.raises(ConfigError, match=r"^--files: \S+a.npz: point: "):
        read_numbers(tmp_path / "a.npz", VECTOR)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", b"\xff\xfe\x00PK"), ("a.npz", b"\xff\xfe\x00PK"), ("a.npz", b""), ("a.npz", b"PK\x03\x04 damaged")],
)
def test_damaged_file_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^--files: \S+ cannot be read: "):
        read_numbers(path, VECTOR)


def test_single_array_with_the_name_of_an_archive_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, np.zeros((1, 2)))
    with pytest.raises(ConfigError, match=r"a.npz cannot be read: File is not a zip file$"):
        read_numbers(tmp_path / "a.npz", VECTOR)
