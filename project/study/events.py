"""Curves of a run, read from TensorBoard's files with numpy only."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from project.study.files import check_regular, list_directory
from project.study.records import DamagedFile, Records, read_records, view_as

Array = np.ndarray
Points = dict[str, list[tuple[Array, Array, Array]]]  # parts of curves, by name
# By name: steps int64 (N,), values float64 (N,), and the times of logging, seconds since 1970, float64 (N,).
Curves = dict[str, tuple[Array, Array, Array]]
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # wire types of protocol buffers
_TIME, _STEP, _SUMMARY, _SESSION = 1, 2, 5, 7  # fields of an event
_TAG, _SIMPLE_VALUE, _TENSOR = 1, 2, 8  # fields of a value of a summary
_DTYPE, _CONTENT = 1, 4  # fields of a tensor
_TENSOR_VALUES = {1: (5, "<f"), 2: (6, "<d")}  # by dtype: the field of its values, and their format
_START = 1  # of a session log: the writer has gone back to this step


def read_curves(run: Path, problems: list[str] | None = None) -> Curves:
    """Return all scalars in RUN/event; a file that ends within a record ends before it.

    Args:
        run: the run directory.
        problems: receives a line for each file that could not be read to its end.
    """
    points: Points = {}
    for entry in list_directory(run / "event"):
        if not entry.name.startswith("events.out.tfevents."):
            continue
        try:
            check_regular(file := Path(entry.path))
            for records in read_records(file):
                _add_points(points, records)
        except (DamagedFile, OSError) as error:
            if problems is not None:
                why = error.strerror if isinstance(error, OSError) else str(error)
                problems.append(f"event/{entry.name} {why}")
    curves = {}
    for name, parts in points.items():
        steps, values, times = (np.concatenate(each) for each in zip(*parts, strict=True))
        if len(steps):
            curves[name] = steps, values, times
    return curves


@dataclass
class _Scalars:
    """Scalars of a part of a file: number of the record, name, step, value and time of each."""

    records: npt.NDArray[np.int64]
    names: list[bytes]
    steps: Array
    values: Array
    times: Array

    def part(self, chosen: npt.NDArray[np.intp]) -> "_Scalars":
        """Return those at some positions."""
        names = [self.names[index] for index in chosen.tolist()]
        return _Scalars(self.records[chosen], names, self.steps[chosen], self.values[chosen], self.times[chosen])


def _add_points(points: Points, records: Records) -> None:
    """Add the scalars of records to those of earlier records."""
    heads = _find_heads(records)
    scalars = _read_plain(records, heads)
    restarts: list[tuple[int, int]] = []
    others: list[tuple[int, bytes, int, float, float]] = []
    for index in np.flatnonzero(heads < 0).tolist():
        start = int(records.starts[index])
        event = _parse_event(records.data[start : start + int(records.lengths[index])])
        if event is not None and event.is_restart:
            restarts.append((index, event.step))
        if event is not None:
            others += [(index, name, event.step, value, event.time) for name, value in event.values]
    if others:
        scalars = _merge(scalars, others)
    if restarts:
        indices, steps = np.array(restarts, dtype=np.int64).T
        lowest = np.minimum.accumulate(steps[::-1])[::-1]  # to which the writer goes back, then or later
        _remove_from(points, int(lowest[0]))
        later = np.searchsorted(indices, scalars.records, side="right")  # the first restart after each
        is_kept = (later == len(lowest)) | (scalars.steps < np.append(lowest, 0)[later])
        scalars = scalars.part(np.flatnonzero(is_kept))
    _add(points, scalars)


def _find_heads(records: Records) -> npt.NDArray[np.int64]:
    """Return where the summary begins in each record with one scalar as torch writes it, and -1 for the others.

    Such an event is 09 TIME 10 STEP 2a N {0a N {0a N TAG 15 VALUE}}, in which step 0 is left out and N are lengths.
    """
    raw, starts = np.frombuffer(records.data, dtype=np.uint8), records.starts
    steps = raw[starts[:, None] + np.arange(10, 20)]
    num_bytes = np.where(raw[starts + 9] == 0x10, 2 + np.argmin(steps & 0x80, axis=1), 0)
    heads = starts + 9 + num_bytes
    rest = records.lengths - 9 - num_bytes  # bytes from the head on
    expected = {0: 0x2A, 1: rest - 2, 2: 0x0A, 3: rest - 4, 4: 0x0A, 5: rest - 11}
    is_plain = (raw[starts] == 0x09) & (rest >= 11) & (rest < 128)
    for offset, value in expected.items():
        is_plain &= raw[heads + offset] == value
    is_plain &= raw[np.maximum(starts + records.lengths - 5, 0)] == 0x15
    return np.where(is_plain, heads, -1)


def _read_plain(records: Records, heads: npt.NDArray[np.int64]) -> _Scalars:
    """Return the scalars of those records that have a head."""
    (indices,) = np.nonzero(heads >= 0)
    heads, starts = heads[indices], records.starts[indices]
    ends = starts + records.lengths[indices]
    times = view_as(records.data, "<f8")[starts + 1]
    values = view_as(records.data, "<f4")[ends - 4].astype(np.float64)
    steps, num_bytes = np.zeros(len(starts), dtype=np.int64), heads - starts - 10
    for at in range(int(num_bytes.max(initial=0))):
        part = view_as(records.data, "u1", 10 + at)[starts].astype(np.int64) & 0x7F
        steps |= np.where(num_bytes > at, part, 0) << 7 * at
    names = list(map(records.data.__getitem__, map(slice, (heads + 6).tolist(), (ends - 5).tolist())))
    return _Scalars(indices, names, steps, values, times)


def _merge(scalars: _Scalars, others: list[tuple[int, bytes, int, float, float]]) -> _Scalars:
    """Return scalars with others, in the order of the file."""
    records, names, steps, values, times = zip(*others, strict=True)
    indices = np.concatenate([scalars.records, records])
    order = np.argsort(indices, kind="stable")
    all_names = [*scalars.names, *names]
    return _Scalars(
        indices[order],
        [all_names[index] for index in order.tolist()],
        np.concatenate([scalars.steps, steps])[order],
        np.concatenate([scalars.values, values])[order],
        np.concatenate([scalars.times, times])[order],
    )


def _add(points: Points, scalars: _Scalars) -> None:
    """Add scalars to points by name."""
    indices = {name: index for index, name in enumerate(dict.fromkeys(scalars.names))}
    numbers = np.fromiter(map(indices.__getitem__, scalars.names), dtype=np.int64, count=len(scalars.names))
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], np.arange(len(indices) + 1)).tolist()
    for name, index in indices.items():
        own = order[bounds[index] : bounds[index + 1]]
        part = scalars.steps[own], scalars.values[own], scalars.times[own]
        points.setdefault(name.decode("utf-8", "replace"), []).append(part)


def _remove_from(points: Points, step: int) -> None:
    """Remove the points at a step and later ones: the writer has gone back there, and writes them again."""
    for parts in points.values():
        parts[:] = [tuple(array[part[0] < step] for array in part) for part in parts]  # type: ignore[misc]


@dataclass(frozen=True)
class _Event:
    time: float
    step: int
    values: list[tuple[bytes, float]]
    is_restart: bool


def _parse_event(data: bytes) -> _Event | None:
    """Return an event with its scalars; None if it cannot be parsed."""
    try:
        fields = list(_fields(data))
        event = dict(fields)
        (time,) = struct.unpack("<d", event.get(_TIME, bytes(8)))
        summaries = [value for number, value in fields if number == _SUMMARY]
        found = [_scalar(value) for summary in summaries for number, value in _fields(summary) if number == 1]
        is_restart = _SESSION in event and dict(_fields(event[_SESSION])).get(1) == _START
        step = int.from_bytes(event.get(_STEP, 0).to_bytes(8, "little"), "little", signed=True)
        return _Event(time, step, [each for each in found if each is not None], is_restart)
    except (IndexError, TypeError, AttributeError, ValueError, OverflowError, struct.error):
        return None


def _scalar(data: bytes) -> tuple[bytes, float] | None:
    """Return name and value of a scalar, which may be a tensor with one number; None for pictures and others."""
    value = dict(_fields(data))
    name = value.get(_TAG, b"")
    if _SIMPLE_VALUE in value:
        return name, struct.unpack("<f", value[_SIMPLE_VALUE])[0]
    tensor = dict(_fields(value.get(_TENSOR, b"")))
    if tensor.get(_DTYPE) not in _TENSOR_VALUES:
        return None
    number, form = _TENSOR_VALUES[tensor[_DTYPE]]
    content = tensor.get(_CONTENT) or tensor.get(number, b"")
    return (name, struct.unpack(form, content)[0]) if len(content) == struct.calcsize(form) else None


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of the fields of a protocol buffer.

    Raises:
        IndexError: it ends within a field.
        ValueError: a field has a type that is not used any more.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_DOUBLE, _FLOAT):
            size = 8 if kind == _DOUBLE else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(data):
            raise IndexError(at)
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("a number has more than ten bytes")
