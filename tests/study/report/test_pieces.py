"""Tests of what pages share: numbers, tables, and files that may be missing or damaged."""

import math
from pathlib import Path

import pytest

from project.study.report.pieces import format_number, format_seconds, grid, number_cell, read_json, read_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.1235"),
        (3, "3"),
        (-0.0, "0"),
        (1e-7, "1e-07"),
        (math.nan, "—"),
        (math.inf, "—"),
        (None, "—"),
        (True, "True"),
    ],
)
def test_format_number(value: object, shown: str) -> None:
    assert format_number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.5, "0.5 s"), (59.4, "59.4 s"), (200, "3 min 20 s"), (119.9, "2 min 0 s"), (7300, "2 h 1 min"), (None, "—")],
)
def test_format_seconds(seconds: float | None, shown: str) -> None:
    assert format_seconds(seconds) == shown


def test_number_cell_keeps_the_exact_value_for_sorting() -> None:
    assert number_cell(0.123456) == '<td class="number" data-v="0.123456">0.1235</td>'
    assert number_cell(math.nan) == '<td class="number">—</td>'


def test_grid_takes_cells_and_texts() -> None:
    made = grid("numbers", ["<a>"], [["x", number_cell(1)]], id="t")
    assert '<table id="t"><thead><tr><th>&lt;a&gt;</th></tr></thead><tbody><tr><td>x</td><td class="number"' in made


@pytest.mark.parametrize("text", ["{", "[1]", "", "[" * 100_000, "nul\x00"])
def test_damaged_json_is_a_problem(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    problems: list[str] = []
    assert read_json(tmp_path / "x.json", problems) is None
    assert len(problems) == 1
    assert problems[0].startswith(f"{tmp_path.name}/x.json is damaged: ")


def test_missing_file_is_no_problem_and_one_that_cannot_be_read_is(tmp_path: Path) -> None:
    problems: list[str] = []
    assert read_text(tmp_path / "x.txt", problems) is None
    assert problems == []
    (tmp_path / "x.txt").mkdir()
    assert read_text(tmp_path / "x.txt", problems) is None
    assert problems == [f"{tmp_path.name}/x.txt cannot be read: it is a directory"]
