"""digests.bin: rows are read as they were written, and what is torn, damaged or hostile is told or cut."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from project.core import digest_file
from project.core.digest_file import DigestFile, Table, cut_digests, read_blocks
from project.core.errors import ConfigError, RunStopped

SMALL, LARGE = Table("xxh3", ("a", "b")), Table("xxh3", ("a", "b", "loss"))
Rows = list[tuple[Table, int, list[int]]]
ROWS: Rows = [(SMALL, 1, [5, 2**64 - 1]), (LARGE, 2, [1, 2, 3]), (LARGE, 4, [4, 5, 6]), (SMALL, 5, [7, 8])]


def write(path: Path, rows: Rows = ROWS, step: int = 0) -> bytes:
    file = DigestFile(path, step)
    for table, number, values in rows:
        file.append([(table, number, np.array(values, np.uint64))])
    return path.read_bytes()


def read(path: Path) -> Rows:
    blocks = read_blocks(path)
    return [(b.table, int(s), row.tolist()) for b in blocks for s, row in zip(b.steps, b.digests, strict=True)]


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    content = write(tmp_path / "d.bin")
    assert read(tmp_path / "d.bin") == ROWS
    assert content.count(SMALL.text) == content.count(LARGE.text) == 1
    file = DigestFile(tmp_path / "one.bin", 0)
    file.append([(table, step, np.array(values, np.uint64)) for table, step, values in ROWS])
    assert (tmp_path / "one.bin").read_bytes() == content  # no matter how many rows wait


@pytest.mark.parametrize("step", range(6))
def test_file_that_is_cut_and_continued_has_the_same_bytes(step: int, tmp_path: Path) -> None:
    content = write(tmp_path / "d.bin")
    write(tmp_path / "d.bin", [row for row in ROWS if row[1] > step], step)
    assert (tmp_path / "d.bin").read_bytes() == content


def test_torn_record_is_ignored_and_cut_wherever_the_process_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "d.bin"
    content = write(path)
    for size in range(0, len(content), 5):
        path.write_bytes(content[:size])
        rows = read(path)
        assert rows == ROWS[: len(rows)]
        write(path, ROWS[len(rows) :], 5)
        assert path.read_bytes() == content


def test_many_alternating_tables_are_read_in_order(tmp_path: Path) -> None:
    rows: Rows = [(LARGE, n, [n, n, n]) if n % 7 == 0 or 300 < n < 900 else (SMALL, n, [n, n]) for n in range(1, 1500)]
    write(tmp_path / "d.bin", rows)
    assert read(tmp_path / "d.bin") == rows


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values)


def text(content: object) -> bytes:
    data = json.dumps(content).encode()
    return words(0, len(data) + -len(data) % 8) + data + b" " * (-len(data) % 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: b"PK\3\4" + whole, "does not begin as a file of digests"),
        (lambda whole: whole + words(77, 6, 1, 1), "a row has no table"),
        (lambda whole: whole + words(SMALL.id, 5, 1, 1), "its steps do not increase"),
        (lambda whole: whole + words(SMALL.id, 2**63, 1, 1), "its steps do not increase"),
        (lambda whole: whole + bytes(64), "a table has a wrong length"),
        (lambda whole: whole + words(0, 2**40), "a table has a wrong length"),
        (lambda whole: whole + words(0, 8, 0), "a table cannot be read"),
        (lambda whole: whole + text([]), "a table cannot be read"),
        (lambda whole: whole + text({"kind": "xxh3", "names": ["a", "a"]}), "a table is none"),
        (lambda whole: whole + text({"kind": "xxh3", "names": []}), "a table is none"),
        (lambda whole: whole + words(0, 200_000) + b"[" * 200_000, "a table cannot be read"),
    ],
)
def test_damage_is_told_in_one_line_and_cut_by_a_resumed_run(
    change: Callable[[bytes], bytes], message: str, tmp_path: Path, messages: list[str]
) -> None:
    path = tmp_path / "d.bin"
    content = write(path)
    path.write_bytes(change(content))
    with pytest.raises(ConfigError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    cut_digests(path, 5)
    assert path.read_bytes() == (b"" if "begin" in message else content)
    assert message in messages[-1]


def test_files_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named pipe would block, and a very large file would fill the memory."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe", "."):
        with pytest.raises(ConfigError, match="there is no"):
            read(tmp_path / name)
    write(tmp_path / "d.bin")
    monkeypatch.setattr(digest_file, "_MAX_FILE", 100)
    with pytest.raises(ConfigError, match="at most 100 are read"):
        read(tmp_path / "d.bin")


def test_write_error_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunStopped, match=r"cannot write digests to .*missing/d\.bin"):
        write(tmp_path / "missing/d.bin")
