"""Numbers in a csv or npz file, by the names of a net's inputs."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from project.core.errors import ConfigError, did_you_mean, join_names, show_value
from project.deploy.inputs import InputError, Numbers

SUFFIXES = (".csv", ".npz")
Arrays = dict[str, np.ndarray]
_WRONG = {"b": "no boolean (0, 1, false or true)", "i": "no integer", "u": "no integer"}  # by the kind of the dtype
_BOOLEANS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
_MAX_EXACT = 2**53  # float64 does not hold all integers from here


class OtherFilesError(ConfigError):
    """Files do not contain what a net takes; a dataset may make it from them."""


class _TooLargeError(ValueError):
    """A dtype cannot hold an integer."""


def read_numbers(path: Path, inputs: Mapping[str, Numbers], any_names: bool = True) -> Arrays:
    """Return arrays `(N, ...)` by the names of the inputs.

    Args:
        path: a csv file with columns NAME of a number, and NAME_0, NAME_1, ... of a vector; or an npz file with an
            array of each name.
        inputs: the inputs.
        any_names: whether the columns may have any names if the only input is a vector.

    Raises:
        ConfigError: a column or array is missing, unknown, or has other values than its input.
    """
    try:
        found = _read_csv(path, inputs, any_names) if path.suffix.lower() == ".csv" else _read_npz(path, inputs)
    except ConfigError:
        raise
    except Exception as error:  # damaged files raise any exception
        raise ConfigError(f"--files: {path} cannot be read: {error}") from error
    arrays = {}
    for name, raw in inputs.items():
        try:
            arrays[name] = Numbers((None, *raw.shape), raw.dtype).read(found[name])
        except InputError as error:
            raise ConfigError(f"--files: {path}: {name}: {error}") from error
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ConfigError(f"--files: {path} has arrays of different lengths: {shown}")
    if not all(lengths.values()):
        raise ConfigError(f"--files: {path} has no rows")
    return arrays


def _read_npz(path: Path, inputs: Mapping[str, Numbers]) -> Arrays:
    # np.load also reads an array that is no archive.
    with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
        _check_names(path, "array", list(archive.files), list(inputs))
        return {name: archive[name] for name in inputs}


def _read_csv(path: Path, inputs: Mapping[str, Numbers], any_names: bool) -> Arrays:
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        file.seek(0)
        reader = csv.reader(file, delimiter=max(",;\t", key=first.count), skipinitialspace=True, strict=True)
        header = [name.strip() for name in next(reader, [])]
        columns = _find_columns(path, header, inputs, any_names)
        rows: dict[str, list[list[Any]]] = {name: [] for name in inputs}
        for fields in filter(None, reader):
            if len(fields) != len(header):
                raise ConfigError(
                    f"--files: {path}, line {reader.line_num}: {len(fields)} values for {len(header)} columns"
                )
            for name, positions in columns.items():
                dtype, values = np.dtype(inputs[name].dtype), []
                for position in positions:
                    try:
                        values.append(_parse(fields[position], dtype))
                    except ValueError as error:
                        raise ConfigError(
                            f"--files: {path}, line {reader.line_num}, column '{header[position]}': "
                            f"{show_value(fields[position])} is {_WRONG.get(dtype.kind, 'no number')}"
                            f"{f' that {dtype} can hold' if isinstance(error, _TooLargeError) else ''}"
                        ) from error
                rows[name].append(values)
    if not any(rows.values()):
        raise ConfigError(f"--files: {path} has no rows; its first line names the columns")
    return {name: _to_array(values, inputs[name]) for name, values in rows.items()}


def _find_columns(
    path: Path, header: list[str], inputs: Mapping[str, Numbers], any_names: bool
) -> dict[str, list[int]]:
    """Return the positions of the columns of each input.

    Raises:
        ConfigError: a column is missing, unknown or repeated.
    """
    expected: dict[str, list[str]] = {}
    for name, raw in inputs.items():
        if len(raw.shape) > 1:
            shape = ", ".join("any" if length is None else str(length) for length in raw.shape)
            raise ConfigError(
                f"--files: {name} has the shape ({shape}), for which a csv has no columns; use a .npz file"
            )
        vector = [column for column in header if column.startswith(f"{name}_") and column[len(name) + 1 :].isdecimal()]
        length = raw.shape[0] if raw.shape else None
        expected[name] = (
            [f"{name}_{i}" for i in range(len(vector) if length is None else length)] if raw.shape else [name]
        )
    if repeated := [column for column in header if header.count(column) > 1]:
        raise ConfigError(f"--files: {path} has several columns '{repeated[0]}'")
    (first, raw), *others = inputs.items()
    if any_names and not others and raw.shape and not any(column in expected[first] for column in header):
        if raw.shape[0] in (None, len(header)):
            return {first: list(range(len(header)))}
        raise ConfigError(f"--files: {path} has {len(header)} columns, and {first} has {raw.shape[0]} numbers")
    _check_names(path, "column", header, [column for columns in expected.values() for column in columns])
    return {name: [header.index(column) for column in columns] for name, columns in expected.items()}


def _check_names(path: Path, kind: str, given: list[str], expected: list[str]) -> None:
    for name in expected:
        if name not in given:
            near, found = did_you_mean(name, given), join_names(given)
            message = f"--files: {path} has no {kind} '{name}'{near}\nfound: {found}"
            if given and not {*given} & {*expected}:
                hint = "It needs the inputs of the net; a dataset that makes them from other files is data.predict"
                raise OtherFilesError(f"{message}\n{hint}")
            raise ConfigError(message)
    for name in given:
        if name not in expected:
            known = join_names(expected)
            raise ConfigError(f"--files: {path}: the net does not take the {kind} '{name}'\nknown: {known}")


def _parse(text: str, dtype: np.dtype[Any]) -> float | int | bool:
    """Return the number of a text.

    Raises:
        ValueError: it is none, or NaN; for an integer, also if it has decimals; for a boolean, if it is not 0 or 1.
    """
    if dtype.kind == "b":
        if (lower := text.strip().lower()) not in _BOOLEANS:
            raise ValueError(text)
        return _BOOLEANS[lower]
    if dtype.kind in "iu":
        return _parse_integer(text, dtype)
    if math.isnan(value := float(text)):
        raise ValueError(text)
    return value


def _to_array(rows: list[list[Any]], raw: Numbers) -> np.ndarray:
    """Return parsed rows; floats are in float64, which holds more of them than the dtype may."""
    dtype = None if np.dtype(raw.dtype).kind == "f" else raw.dtype
    return np.array(rows, dtype).reshape(len(rows), *((-1,) if raw.shape else ()))


def _parse_integer(text: str, dtype: np.dtype[Any]) -> int:
    try:
        value = int(text)
    except ValueError:
        as_float = float(text)
        if not as_float.is_integer() or abs(as_float) >= _MAX_EXACT:
            raise
        value = int(as_float)
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        raise _TooLargeError(text)
    return value
