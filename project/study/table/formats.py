"""A table as text, csv, Markdown, LaTeX or HTML."""

import csv
import html
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from project.study.columns import ABSENT
from project.study.table.content import Column, Table
from project.study.table.values import show_interval, show_setting, show_settings, show_summary

_GAP = "  "
_FORMULAS, _NUMBER = ("=", "+", "-", "@"), re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?|-Infinity")
_LATEX = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    **{mark: f"{{{mark}}}" for mark in "[*"},  # after \\\\, they would be read as a part of it
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", "Δ": r"$\Delta$", "—": "---"},
}


def format_text(table: Table, width: int | None = None) -> str:
    """Return a table in columns; one that is wider than `width` continues below, with its settings again."""
    columns, texts = table.columns, [[column.heading, *cells] for column, cells in _cells(table)]
    sizes = [max(map(_width, text)) for text in texts]
    settings = [i for i, column in enumerate(columns) if column.kind == "setting"]
    others = [i for i in range(len(texts)) if i not in settings]
    blocks = []
    for part in _fit(settings, others, sizes, width):
        blocks.append("\n".join(_lines([texts[i] for i in part], [sizes[i] for i in part], [columns[i] for i in part])))
    return "\n\n".join([*blocks, *(["\n".join(table.notes)] if table.notes else [])]) + "\n"


def _fit(settings: list[int], others: Sequence[int], sizes: Sequence[int], width: int | None) -> list[list[int]]:
    """Return the columns of each part of a table, as many as fit, and at least one beside the settings."""
    parts = [[*settings]]
    used = first = sum(sizes[i] + len(_GAP) for i in settings)
    for i in others:
        if width is not None and used + sizes[i] > width and len(parts[-1]) > len(settings):
            parts.append([*settings])
            used = first
        parts[-1].append(i)
        used += sizes[i] + len(_GAP)
    return parts


def _lines(texts: Sequence[Sequence[str]], sizes: Sequence[int], columns: Sequence[Column]) -> list[str]:
    lines = []
    for line in zip(*texts, strict=True):
        cells = [
            f"{' ' * (size - _width(cell))}{cell}" if column.kind == "runs" else f"{cell}{' ' * (size - _width(cell))}"
            for cell, size, column in zip(line, sizes, columns, strict=True)
        ]
        lines.append(_GAP.join(cells).rstrip())
    return lines


def _width(text: str) -> int:
    """Return the number of columns of a terminal that a text takes."""
    return sum(0 if unicodedata.combining(mark) else 1 + (unicodedata.east_asian_width(mark) in "WF") for mark in text)


def format_csv(table: Table) -> str:
    """Return a table as csv, its numbers with all digits: mean, std and n of a metric are columns of their own."""
    headings: list[str] = []
    columns: list[list[Any]] = []
    for column in table.columns:
        if column.kind == "metric":
            names = [f"{column.heading} {part}" for part in ("mean", "std", "n")]
            parts = [[getattr(value, part) for value in column.values] for part in ("mean", "std", "n")]
        elif column.kind == "difference":
            names = [f"{column.heading} {part}" for part in ("mean", "low", "high", "n")]
            parts = [
                [None if value is None else getattr(value, part) for value in column.values]
                for part in ("mean", "low", "high", "n")
            ]
        else:
            names = [column.heading]
            parts = [[None if value is ABSENT else show_setting(value) for value in column.values]]
        headings += names
        columns += parts
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerows([_no_formula(cell) for cell in row] for row in (headings, *zip(*columns, strict=True)))
    return written.getvalue()


def _no_formula(cell: Any) -> Any:
    """Return a cell which no spreadsheet takes for a formula, which may run programs: a text that begins with = has '.

    Numbers stay as they are.
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) and not _NUMBER.fullmatch(cell) else cell


def format_markdown(table: Table) -> str:
    """Return a table for Markdown files."""
    cells = [[_escape_markdown(text) for text in (column.heading, *texts)] for column, texts in _cells(table)]
    head, *lines = zip(*cells, strict=True)
    rule = ["--:" if column.kind == "runs" else "---" for column in table.columns]
    rows = [f"| {' | '.join(line)} |" for line in (head, rule, *lines)]
    notes = "".join(f"\n{_escape_markdown(note)}\n" for note in table.notes)
    return "\n".join(rows) + "\n" + notes


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*<|\[\]&~$])", r"\\\1", text)  # also links and pictures, which a reader may load


def format_latex(table: Table) -> str:
    """Return a table as a LaTeX tabular, with the notes as comments."""
    cells = [[_escape_latex(text) for text in (column.heading, *texts)] for column, texts in _cells(table)]
    head, *lines = (" & ".join(line) + r" \\" for line in zip(*cells, strict=True))
    form = "".join("r" if column.kind == "runs" else "l" for column in table.columns)
    body = "\n".join([r"\hline", head, r"\hline", *lines, r"\hline"])
    notes = "".join(f"% {note}\n" for note in table.notes)
    return f"\\begin{{tabular}}{{{form}}}\n{body}\n\\end{{tabular}}\n{notes}"


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(mark, mark) for mark in text)


def format_html(table: Table) -> str:
    """Return a table as a part of an HTML page, of any encoding."""
    cells = [[html.escape(text) for text in texts] for _, texts in _cells(table)]
    head = "".join(f'<th scope="col">{html.escape(column.heading)}</th>' for column in table.columns)
    kinds = [("th", ' scope="row"') if column.kind == "setting" else ("td", "") for column in table.columns]
    lines = "".join(
        "<tr>" + "".join(f"<{n}{scope}>{cell}</{n}>" for (n, scope), cell in zip(kinds, line, strict=True)) + "</tr>\n"
        for line in zip(*cells, strict=True)
    )
    notes = "".join(f"<p>{html.escape(note)}</p>\n" for note in table.notes)
    caption = "<caption>Runs by settings: mean ± standard deviation of metrics</caption>"
    page = f"<table>\n{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}</tbody>\n</table>\n{notes}"
    return page.encode("ascii", "xmlcharrefreplace").decode()


def _cells(table: Table) -> Iterable[tuple[Column, list[str]]]:
    """Yield the columns with the texts of their cells."""
    runs = next(column.values for column in table.columns if column.kind == "runs")
    for column in table.columns:
        if column.kind == "setting":
            yield column, show_settings(column.values)
        elif column.kind == "runs":
            yield column, [str(value) for value in column.values]
        else:
            show: Callable[[Any, int], str] = show_summary if column.kind == "metric" else show_interval
            yield column, [show(value, count) for value, count in zip(column.values, runs, strict=True)]
