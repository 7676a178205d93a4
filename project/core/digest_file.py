"""RUN/digests.bin: digests of the tensors of a run by step, in a form that can be appended to and cut.

The file is a sequence of 64-bit words. After a first word that names the format, there are records of two kinds:

    0, length, text         a table: as JSON, the kind of its digests, and the names of its tensors; `length` in bytes
    table, step, digests    a row: digests of the tensors of a table at a step; a table is identified by its text

A table precedes its rows. The steps of rows increase. The last record may be torn: the process was killed.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from loguru import logger
from numpy.typing import NDArray

from project.core.errors import ConfigError, RunStopped

DIGESTS = "digests.bin"
Words = NDArray[np.uint64]
# Stored: the first word, and the keys of the text of a table.
_FORMAT = b"DIGESTS1"
_KIND, _NAMES = "kind", "names"
_MAX_FILE, _MAX_TABLE = 2**32, 2**24  # bytes that are read


@dataclass(frozen=True)
class Table:
    """Names of tensors, and the kind of their digests: those of two kinds cannot be compared.

    Args:
        kind: the function that computes the digests.
        names: the names in causal order: what depends on a tensor comes after it.
    """

    kind: str
    names: tuple[str, ...]

    @cached_property
    def text(self) -> bytes:
        """The table as JSON, filled up to whole words."""
        text = json.dumps({_KIND: self.kind, _NAMES: self.names}).encode()
        return text + b" " * (-len(text) % 8)

    @cached_property
    def id(self) -> int:
        """What rows name the table by; never 0."""
        return xxhash.xxh3_64_intdigest(self.text) or 1


@dataclass(frozen=True)
class Block:
    """Rows of one table that follow each other.

    Args:
        table: the table.
        steps: the steps, `(rows,)`.
        digests: the digests, `(rows, tensors)`.
        start: position of the first row in the file, in words.
    """

    table: Table
    steps: Words
    digests: Words
    start: int


class DigestFile:
    """The file of a run that trains. Rows after a step are cut when it is opened, and so is a torn record.

    Args:
        path: the file; it is created with the first row.
        step: the number of optimizer steps done: a resumed run writes later rows again.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self._defined = cut_digests(path, step)

    def append(self, rows: Sequence[tuple[Table, int, Words]]) -> None:
        """Append rows, each a table, a step and the digests, with those tables that the file does not have.

        Raises:
            RunStopped: the file cannot be written.
        """
        data = bytearray()
        for table, step, digests in rows:
            if table.id not in self._defined:
                self._defined.add(table.id)
                data += _words(0, len(table.text)) + table.text
            data += _words(table.id, step) + digests.tobytes()
        try:
            with self.path.open("ab") as file:
                file.write(data if file.tell() else _FORMAT + data)
        except OSError as error:
            raise RunStopped(f"cannot write digests to {self.path}: {error}") from error


def read_blocks(path: Path) -> Iterator[Block]:
    """Yield the rows of a file in the order of their steps.

    Raises:
        ConfigError: there is no such file, or it is damaged.
    """
    try:
        if not path.is_file():  # a named pipe would block
            raise ConfigError(f"there is no {path}: a run writes it if the setting `digests` asks for it")
        if (size := path.stat().st_size) > _MAX_FILE:
            raise ConfigError(f"{path} has {size} bytes; at most {_MAX_FILE} are read")
        words = np.fromfile(path, "<u8", size // 8)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    yield from _parse_blocks(words, path)


def cut_digests(path: Path, step: int) -> set[int]:
    """Cut the rows of later steps, what is torn or damaged, and tables without rows.

    Returns:
        The ids of the tables that are left.
    """
    size = path.stat().st_size if path.is_file() else 0
    if not size:
        return set()
    end, defined = 0, set[int]()
    try:
        # Mapped, because it may be large; nobody else changes the file of a run that is locked.
        for block in _parse_blocks(np.memmap(path, "<u8", "r", shape=(size // 8,)), path) if size >= 8 else ():
            kept = int(np.searchsorted(block.steps, step, side="right"))
            if not kept:
                break
            defined.add(block.table.id)
            end = 8 * (block.start + kept * (2 + len(block.table.names)))
    except ConfigError as error:
        logger.warning(f"{error}; its rows from there on are removed")
    try:
        os.truncate(path, end)
    except OSError as error:
        raise RunStopped(f"cannot cut digests in {path}: {error}") from error
    return defined


def _parse_blocks(words: Words, path: Path) -> Iterator[Block]:
    if len(words) and words[0].tobytes() != _FORMAT:
        raise _damaged(path, "it does not begin as a file of digests")
    tables: dict[int, Table] = {}
    position, last = 1, 0
    while position + 2 <= len(words):
        key = int(words[position])
        if key == 0:
            length = int(words[position + 1])
            if length % 8 or not 0 < length <= _MAX_TABLE:
                raise _damaged(path, "a table has a wrong length")
            end = position + 2 + length // 8
            if end > len(words):
                return  # torn
            table = _parse_table(words[position + 2 : end], path)
            tables[table.id] = table
            position = end
            continue
        if key not in tables:
            raise _damaged(path, "a row has no table")
        width = 2 + len(tables[key].names)
        count = _count_rows(words, position, width)
        rows = words[position : position + count * width].reshape(count, width)
        steps = rows[:, 1]
        if not count:
            return  # torn
        previous = np.concatenate([np.array([last], np.uint64), steps[:-1]])
        wrong = np.flatnonzero((steps <= previous) | (steps >= 2**63))
        count = int(wrong[0]) if len(wrong) else count
        if count:
            yield Block(tables[key], steps[:count], rows[:count, 2:], position)
        if len(wrong):
            raise _damaged(path, "its steps do not increase")
        position, last = position + count * width, int(steps[-1])


def _parse_table(text: Words, path: Path) -> Table:
    try:
        content: Any = json.loads(text.tobytes())
        table = Table(content[_KIND], tuple(content[_NAMES]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, "a table cannot be read") from error
    is_unique = all(isinstance(name, str) for name in table.names) and len({*table.names}) == len(table.names)
    if not (isinstance(table.kind, str) and table.names and is_unique):
        raise _damaged(path, "a table is none")
    return table


def _count_rows(words: Words, start: int, width: int) -> int:
    """Return the number of whole rows from a position on that have the same table."""
    count, size, available = 0, 64, (len(words) - start) // width
    while count < available:
        stop = min(count + size, available)
        others = np.flatnonzero(words[start + count * width : start + stop * width : width] != words[start])
        if len(others):
            return count + int(others[0])
        count, size = stop, 4 * size
    return count


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values)


def _damaged(path: Path, problem: str) -> ConfigError:
    return ConfigError(f"{path} is damaged: {problem}")
