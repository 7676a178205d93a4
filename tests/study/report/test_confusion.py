"""Tests of confusion matrices."""

import json
from pathlib import Path

import pytest

from project.study.report.confusion import show_confusion


def show(directory: Path, content: object) -> tuple[str, list[str]]:
    (directory / "confusion_matrix.json").write_text(json.dumps(content))
    problems: list[str] = []
    return str(show_confusion(directory, problems) or ""), problems


def test_matrix_has_headings_shares_and_confusions(tmp_path: Path) -> None:
    shown, problems = show(tmp_path, {"counts": [[3, 1], [2, 2]], "classes": ["<cat>", "dog"]})
    assert problems == []
    assert '<th scope="col">&lt;cat&gt;</th>' in shown
    assert '<th scope="row">dog</th>' in shown
    assert 'title="2 of 4 of class dog are predicted as &lt;cat&gt; (50.0%)"' in shown
    recall_and_precision = [shown.index(text) for text in (">75.0%<", ">50.0%<", ">60.0%<", ">66.7%<", ">62.5%<")]
    assert recall_and_precision == sorted(recall_and_precision)
    confusions = shown.split("Most frequent confusions")[1]
    assert confusions.index("dog") < confusions.index("&lt;cat&gt;")


def test_perfect_and_empty_matrices_have_no_confusions(tmp_path: Path) -> None:
    assert "Most frequent" not in show(tmp_path, {"counts": [[3, 0], [0, 0]], "classes": ["a", "b"]})[0]
    assert "—" in show(tmp_path, {"counts": [[0]], "classes": [0]})[0]


def test_large_matrix_is_left_out_and_its_confusions_are_shown(tmp_path: Path) -> None:
    counts = [[0] * 60 for _ in range(60)]
    counts[3][7] = 5
    shown, problems = show(tmp_path, {"counts": counts, "classes": [f"c{index}" for index in range(60)]})
    assert "The matrix of 60 classes is left out." in shown
    assert "<td>c3</td><td>c7</td>" in shown
    assert problems == []


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"counts": [], "classes": []},
        {"counts": [[1, 2]], "classes": ["a"]},
        {"counts": [[1], [2]], "classes": ["a", "b"]},
        {"counts": [[-1]], "classes": ["a"]},
        {"counts": [["1"]], "classes": ["a"]},
        {"counts": [[float("nan")]], "classes": ["a"]},
        {"counts": 1, "classes": 1},
    ],
)
def test_damaged_matrix_is_a_problem(tmp_path: Path, content: object) -> None:
    shown, problems = show(tmp_path, content)
    assert shown == ""
    assert len(problems) == 1
    assert "confusion_matrix.json is damaged: counts is no square table" in problems[0]
