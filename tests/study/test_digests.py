"""Reading of digests.bin: steps in order, one step, and the first difference of two runs."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import project
from project.core.digest_file import DigestFile, Table
from project.core.errors import ConfigError
from project.study.digests import DigestComparison, Digests, first_difference, read_digests

SMALL, LARGE = Table("xxh3", ("a", "b")), Table("xxh3", ("a", "b", "loss"))


def digests(path: Path, *rows: tuple[Table, int, list[int]]) -> Digests:
    DigestFile(path, 0).append([(table, step, np.array(values, np.uint64)) for table, step, values in rows])
    return read_digests(path)


def test_steps_are_read_in_order_and_one_by_one(tmp_path: Path) -> None:
    found = digests(tmp_path / "d.bin", (LARGE, 2, [1, 2, 3]), (SMALL, 4, [4, 2**64 - 1]), (LARGE, 7, [6, 7, 8]))
    assert len(found) == 3
    assert [(each.step, each.kind, [*each.values.items()]) for each in found] == [
        (2, "xxh3", [("a", 1), ("b", 2), ("loss", 3)]),
        (4, "xxh3", [("a", 4), ("b", 2**64 - 1)]),
        (7, "xxh3", [("a", 6), ("b", 7), ("loss", 8)]),
    ]
    assert [found.get(step) for step in (2, 4, 7)] == [*found]
    assert [found.get(step) for step in (0, 1, 3, 8)] == [None] * 4


def test_file_without_rows_has_no_steps(tmp_path: Path) -> None:
    (tmp_path / "d.bin").touch()
    empty = read_digests(tmp_path / "d.bin")
    assert ([*empty], empty.get(1)) == ([], None)
    assert first_difference(empty, empty) == DigestComparison(0, 0)


def test_first_difference_is_that_of_the_first_common_step_and_name(tmp_path: Path) -> None:
    one = digests(tmp_path / "1", (LARGE, 1, [1, 1, 1]), (LARGE, 2, [1, 1, 1]), (SMALL, 4, [1, 1]), (LARGE, 5, [1] * 3))
    two = digests(tmp_path / "2", (SMALL, 1, [1, 1]), (LARGE, 3, [2, 2, 2]), (LARGE, 4, [1, 5, 5]), (SMALL, 5, [2, 2]))
    assert first_difference(one, two) == DigestComparison(
        steps=2, digests=4, step=4, names=("b",), kinds=("a", "b"), equal=1
    )
    assert first_difference(one, one) == DigestComparison(4, 11, kinds=("a", "b", "loss"), equal=5)


def test_digests_of_different_kinds_are_not_compared(tmp_path: Path) -> None:
    one = digests(tmp_path / "1", (SMALL, 1, [1, 1]))
    two = digests(tmp_path / "2", (Table("sum", SMALL.names), 1, [2, 2]))
    assert first_difference(one, two) == DigestComparison(0, 0)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no .*: a run writes it if the setting `digests` asks for it"):
        read_digests(tmp_path / "d.bin")


def test_reading_needs_no_torch() -> None:
    code = f"import sys; sys.modules['torch'] = None; import {project.__name__}.study.digests"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(project.__file__).parent.parent)


@pytest.mark.slow
def test_long_run_is_read_and_compared_fast(tmp_path: Path) -> None:
    """With the tables of two settings in turn: 0.2 s on a quiet core."""
    tables = [Table("xxh3", tuple(map(str, range(count)))) for count in (40, 50)]
    rows = [(tables[step % 10 == 0], step) for step in range(1, 20_001)]
    found = [(table, step, np.full(len(table.names), step, np.uint64)) for table, step in rows]
    DigestFile(tmp_path / "d.bin", 0).append(found)
    start = time.process_time()
    read = read_digests(tmp_path / "d.bin")
    assert sum(len(each.values) for each in read) == 40 * 18_000 + 50 * 2_000
    assert first_difference(read, read).steps == 20_000
    assert time.process_time() - start < 5
