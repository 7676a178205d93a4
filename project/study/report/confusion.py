"""A confusion matrix as a table."""

import heapq
import math
from collections.abc import Sequence
from pathlib import Path

from project.study.report.html import Html, join, tag
from project.study.report.pieces import grid, number_cell, read_json, scrolling

FILE = "confusion_matrix.json"
_MAX_CLASSES = 50  # larger matrices are shown by their most frequent confusions only
_SHOWN = 10  # most frequent confusions


def show_confusion(directory: Path, problems: list[str]) -> Html | None:
    """Return the confusion matrix of an evaluation; None if there is none, or it is damaged, which is a problem."""
    found = read_json(directory / FILE, problems)
    if found is None:
        return None
    counts, classes = found.get("counts"), found.get("classes")
    if not _is_matrix(counts, classes):
        problems.append(
            f"{directory.name}/{FILE} is damaged: counts is no square table of numbers with a row for each of classes"
        )
        return None
    assert isinstance(counts, list)
    assert isinstance(classes, list)
    names = [str(name) for name in classes]
    is_small = len(names) <= _MAX_CLASSES
    size = None if is_small else tag("p", f"The matrix of {len(names)} classes is left out.", class_="note")
    matrix = tag("div", tag("h3", "Confusion matrix"), _matrix(counts, names) if is_small else size)
    return tag("div", matrix, _confusions(counts, names), class_="beside")


def _is_matrix(counts: object, classes: object) -> bool:
    if not isinstance(counts, list) or not isinstance(classes, list) or not classes:
        return False
    return len(counts) == len(classes) and all(
        isinstance(row, list) and len(row) == len(classes) and all(map(_is_count, row)) for row in counts
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _matrix(counts: Sequence[Sequence[float]], names: Sequence[str]) -> Html:
    heads = (tag("th", name, scope="col") for name in names)
    rows = []
    for true, (name, row) in enumerate(zip(names, counts, strict=True)):
        total, own = sum(row), row[true]
        cells = (_heat_cell(names, true, predicted, count, total) for predicted, count in enumerate(row))
        rows.append(tag("tr", tag("th", name, scope="row"), *cells, tag("td", _share(own, total), class_="total")))
    columns = [sum(row[index] for row in counts) for index in range(len(names))]
    precision = (tag("td", _share(counts[index][index], total), class_="total") for index, total in enumerate(columns))
    corner = _share(sum(counts[index][index] for index in range(len(names))), sum(columns))
    note = "Rows: the true class. Columns: the predicted class. A stronger colour is a larger share of the row."
    table = tag(
        "table",
        tag("thead", tag("tr", tag("td"), *heads, tag("th", "recall", scope="col"))),
        tag(
            "tbody",
            *rows,
            tag("tr", tag("th", "precision", scope="row"), *precision, tag("td", corner, class_="total")),
        ),
        class_="matrix",
    )
    return join(tag("p", note, class_="note"), scrolling("confusion matrix", table))


def _heat_cell(names: Sequence[str], true: int, predicted: int, count: float, total: float) -> Html:
    share = count / total if total else 0.0
    shown = f"{count:g} of {total:g} of class {names[true]} are predicted as {names[predicted]} ({share:.1%})"
    # Confusions are rare: the root makes them visible.
    heat = share if true == predicted else math.sqrt(share)
    kind = "right" if true == predicted else "wrong"
    return tag(
        "td", f"{count:g}" if count else "", class_=kind, title=shown, style=f"--heat:{heat:.2f}" if heat else None
    )


def _confusions(counts: Sequence[Sequence[float]], names: Sequence[str]) -> Html | None:
    confused = (
        (-count, true, predicted)
        for true, row in enumerate(counts)
        for predicted, count in enumerate(row)
        if count and true != predicted
    )
    found = heapq.nsmallest(_SHOWN, confused)
    if not found:
        return None
    rows = (
        [
            names[true],
            names[predicted],
            number_cell(-count),
            tag("td", _share(-count, sum(counts[true])), class_="number"),
        ]
        for count, true, predicted in found
    )
    right = {"class_": "number"}
    head = ["true class", "predicted as", tag("th", "samples", **right), tag("th", "of the class", **right)]
    return tag("div", tag("h3", "Most frequent confusions"), grid("most frequent confusions", head, rows))


def _share(part: float, total: float) -> str:
    return f"{part / total:.1%}" if total else "—"
