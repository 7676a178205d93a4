"""Reading of the columns of csv and parquet files."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from project.registry import ConfigError, did_you_mean, join_names

_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}  # in lower case


class MissingColumnError(ConfigError):
    """A file has no column of a name.

    Args:
        message: what is wrong.
        column: the name.
    """

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


class Columns(NamedTuple):
    """Columns of a file; None is a missing value."""

    path: Path
    values: dict[str, list[Any]]
    rows: list[int]  # number of each row in the file
    row: str  # what these numbers count: line or row

    def numbers(self, name: str) -> np.ndarray:
        """Return a column as float64; a missing value is NaN.

        Raises:
            OSError: a value is not a finite float32.
        """
        values = self.values[name]
        try:
            numbers = np.array([np.nan if value is None else float(value) for value in values])
        except (TypeError, ValueError):
            wrong = next(index for index, value in enumerate(values) if not _is_number(value))
        else:
            too_large = np.abs(numbers) > np.finfo(np.float32).max
            if not too_large.any():
                return numbers
            wrong = int(too_large.argmax())
        has_comma = "," in str(values[wrong]) and _is_number(str(values[wrong]).replace(",", "."))
        hint = (
            "write it with a decimal point" if has_comma else "if the column has categories, list it in `categorical`"
        )
        raise OSError(
            f"{self.path}, {self.row} {self.rows[wrong]}: '{values[wrong]}' in the numeric column '{name}' is no "
            f"finite float32 number; {hint}"
        )

    def vocabulary(self, name: str) -> list[str]:
        """Return the different values of a column as texts, sorted; numerically if all are numbers."""
        texts = {str(value) for value in self.values[name] if value is not None}
        return sorted(texts, key=(lambda text: (float(text), text)) if all(map(_is_number, texts)) else None)

    def codes(self, name: str, vocabulary: list[str]) -> np.ndarray:
        """Return the position of each value in the vocabulary, int64; -1 if it is missing or unknown."""
        code = {text: index for index, text in enumerate(vocabulary)}
        return np.array([-1 if value is None else code.get(str(value), -1) for value in self.values[name]])


def read_columns(path: Path, names: Iterable[str]) -> Columns:
    """Read columns of a csv file (UTF-8, separated by comma, semicolon or tab) or of a parquet file.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: the file is damaged, or has no rows.
        MissingColumnError: the file has no column of a name.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path, list(dict.fromkeys(names)))
    try:
        return _read_csv(path, list(dict.fromkeys(names)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise OSError(f"{path} cannot be read as csv: {error}") from error


def _read_csv(path: Path, names: list[str]) -> Columns:
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        file.seek(0)
        reader = csv.reader(file, delimiter=max(",;\t", key=first.count), skipinitialspace=True, strict=True)
        header = [name.strip() for name in next(reader, [])]
        if repeated := [name for name in names if header.count(name) > 1]:
            raise OSError(f"{path} has several columns '{repeated[0]}'")
        _check_names(path, header, names)
        positions = [header.index(name) for name in names]
        rows: list[int] = []
        values: list[list[Any]] = [[] for _ in names]
        for fields in reader:
            if len(fields) != len(header):
                if not fields:  # an empty line
                    continue
                raise OSError(f"{path}, line {reader.line_num}: {len(fields)} values for {len(header)} columns")
            rows.append(reader.line_num)
            for column, position in zip(values, positions, strict=True):
                text = fields[position].strip()
                column.append(None if text.lower() in _MISSING else text)
    if not rows:
        raise OSError(f"{path} has no rows; its first line names the columns")
    return Columns(path, dict(zip(names, values, strict=True)), rows, "line")


def _read_parquet(path: Path, names: list[str]) -> Columns:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _check_names(path, file.schema_arrow.names, names)
            table = file.read(names)
    except pyarrow.ArrowException as error:
        raise OSError(f"{path} cannot be read as parquet: {error}") from error
    if not table.num_rows:
        raise OSError(f"{path} has no rows")
    # A NaN differs from itself.
    values = {name: [value if value == value else None for value in table[name].to_pylist()] for name in names}
    return Columns(path, values, list(range(1, table.num_rows + 1)), "row")


def _check_names(path: Path, known: list[str], names: list[str]) -> None:
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise MissingColumnError(f"{path} has no column '{name}'{near}\nknown: {join_names(known)}", name)


def _is_number(value: Any) -> bool:
    try:
        return value is None or float(value) is not None
    except (TypeError, ValueError):
        return False
