"""Records of TensorBoard's files: length (8 bytes), checksum of the length (4), data, checksum of the data (4)."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]
_BLOCK = 1 << 23  # bytes that are read at a time
_LENGTH, _HEADER, _FRAME = 8, 12, 16  # bytes of the length; before the data; around the data
# Longer data are no scalar, but a picture or histogram: they are passed over, whatever length they claim.
_MAX_LENGTH = 1024
_PADDING = 32
_LARGEST = 1 << 60  # of lengths, so that positions are numbers of files
_MASK = 0xA282EAD8


class DamagedFile(Exception):
    """A file ends, or is damaged, before its end; the message says where."""


@dataclass
class Records:
    """Records of a part of a file.

    Args:
        data: bytes that contain them, and at least 32 more, of any value.
        starts: position of the data of each record in `data` `(N,)`.
        lengths: number of bytes of each `(N,)`.
    """

    data: bytes
    starts: Positions
    lengths: Positions


def read_records(file: Path) -> Iterator[Records]:
    """Yield the short records of a file in parts, up to its first damaged one.

    Raises:
        DamagedFile: after what can be read.
        OSError: the file cannot be read.
    """
    with file.open("rb") as opened:
        rest, position = b"", 0  # bytes of a record that goes on in the next block; their position in the file
        while block := opened.read(_BLOCK):
            data = rest + block
            records, end = _split(data)
            good = _count_sound(records)
            is_short = records.lengths[:good] <= _MAX_LENGTH
            yield Records(data + bytes(_PADDING), records.starts[:good][is_short], records.lengths[:good][is_short])
            if good < len(records.starts):
                at = position + int(records.starts[good]) - _HEADER
                raise DamagedFile("is not an event file" if at == 0 else f"is damaged after byte {at}")
            if end > len(data):  # within a long record
                opened.seek(end - len(data), os.SEEK_CUR)
            position, rest = position + end, data[end:]
        if rest or position > opened.seek(0, os.SEEK_END):
            raise DamagedFile("ends within a record")


def _split(data: bytes) -> tuple[Records, int]:
    """Return the records that begin in bytes, and the position after them, which may be after the end of the bytes."""
    positions, at, last = [], 0, len(data) - _HEADER
    read_length = struct.Struct("<Q").unpack_from
    while at <= last:
        positions.append(at)
        at += _FRAME + read_length(data, at)[0]
    headers = np.array(positions, dtype=np.int64)
    lengths = np.minimum(view_as(data, "<u8")[headers], _LARGEST).astype(np.int64)
    if at > len(data):
        at = positions[-1] + _FRAME + int(lengths[-1])
        if lengths[-1] <= _MAX_LENGTH:  # the rest of it is in the next block
            at, headers, lengths = positions[-1], headers[:-1], lengths[:-1]
    return Records(data, headers + _HEADER, lengths), at


def _count_sound(records: Records) -> int:
    """Return the number of records before the first one with a wrong checksum.

    It is that of the data, which a wrong length would not fit either, or of the length, if the data are long.
    """
    data, stored = records.data, view_as(records.data, "<u4")
    is_short = records.lengths <= _MAX_LENGTH
    starts = np.where(is_short, records.starts, records.starts - _HEADER)
    lengths = np.where(is_short, records.lengths, _LENGTH)
    is_sound = _checksums(data, starts, lengths) == stored[starts + lengths]
    return len(is_sound) if is_sound.all() else int(np.argmin(is_sound))


def view_as(data: bytes, form: str, offset: int = 0) -> npt.NDArray[Any]:
    """Return what numbers begin at each byte of `data`, from `offset` on, as an array that shares its memory."""
    size = np.dtype(form).itemsize
    return np.ndarray((max(len(data) - offset - size + 1, 0),), form, data, offset if len(data) > offset else 0, (1,))


def _checksums(data: bytes, starts: Positions, lengths: Positions) -> npt.NDArray[np.uint32]:
    """Return the masked CRC-32C of parts of `data`, all at once: two bytes of each part at a time."""
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[order], lengths[order]
    checksums = np.full(len(starts), 0xFFFFFFFF, dtype=np.uint32)
    single, double = _tables()
    for at in range(0, int(lengths[0]) if len(lengths) else 0, 2):
        count = int(np.searchsorted(-lengths, -at - 2, side="right"))  # those with two more bytes come first
        parts = checksums[:count]
        checksums[:count] = double[parts.astype("<u2") ^ view_as(data, "<u2", at)[starts[:count]]] ^ parts >> 16
        last = slice(count, int(np.searchsorted(-lengths, -at - 1, side="right")))
        checksums[last] = (
            single[(checksums[last] ^ view_as(data, "u1", at)[starts[last]]) & 0xFF] ^ checksums[last] >> 8
        )
    checksums = ~checksums
    result = np.empty_like(checksums)
    result[order] = (checksums >> 15 | checksums << 17) + np.uint32(_MASK)
    return result


@cache
def _tables() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Return CRC-32C of all values of one byte, and of two."""
    single = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        single = np.where(single & 1, single >> 1 ^ np.uint32(0x82F63B78), single >> 1).astype(np.uint32)
    pairs = np.arange(65536, dtype=np.uint32)
    first = single[pairs & 0xFF] ^ pairs >> 8
    return single, single[first & 0xFF] ^ first >> 8
