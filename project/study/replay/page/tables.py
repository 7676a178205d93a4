"""Tables of any length: the first rows are on the page, and the script shows the others on demand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from project.core.errors import shorten
from project.study.report.html import Html, join, tag
from project.study.report.pieces import format_number, problem, scrolling

SHOWN = 20  # rows at the start
_MAX_TEXT = 300  # characters of a cell

Kind = Literal["text", "mark", "number", "bar", "log bar", "link"]


@dataclass(frozen=True)
class Column:
    """Column of a table.

    Args:
        name: its heading.
        values: a value for each row; None if it has none.
        kind: `number` may have a `bar`, also on a `log` scale; a `mark` says what is unusual; a `link` is the path of a
            file in the directory of the page.
    """

    name: str
    values: Sequence[object]
    kind: Kind = "text"

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers."""
        return self.kind in ("number", "bar", "log bar")


@dataclass
class Tables:
    """Rows of the tables of a page, for its script.

    Args:
        limit: rows of a table; the others are left out, which the table says.
        data: the columns of each table, by its name.
    """

    limit: int = 100_000
    data: dict[str, Any] = field(default_factory=dict)


def long_table(key: str, label: str, columns: Sequence[Column], tables: Tables) -> Html:
    """Return a table.

    Args:
        key: its name in `tables`, which is unique on the page.
        label: what it shows, for screen readers.
        columns: its columns; the rows that should be seen first are first.
        tables: receives the rows.
    """
    columns = [each for each in columns if any(value not in (None, "") for value in each.values)]
    tables.data[key] = [
        {"name": each.name, "kind": each.kind, "values": [_pack(each, value) for value in each.values[: tables.limit]]}
        for each in columns
    ]
    heads = (tag("th", each.name, scope="col", class_="number" if each.is_number else None) for each in columns)
    values = [each.values[:SHOWN] for each in columns]
    rows = (
        tag("tr", *(_cell(column, value) for column, value in zip(columns, row, strict=True)))
        for row in zip(*values, strict=True)
    )
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="long", data_key=key)
    left_out = len(columns[0].values) - tables.limit
    more = problem(f"{left_out} more rows are left out: replay fewer steps to see them") if left_out > 0 else None
    return join(more, scrolling(label, table))


def show_number(value: object) -> str:
    """Return a number in four digits; unlike in reports, one that is not finite is shown as such."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else format_number(value)


def show_name(text: object) -> Html:
    """Return a name, which may be long, and written from right to left."""
    return tag("bdi", shorten(str(text), _MAX_TEXT))


def _cell(column: Column, value: object) -> Html:
    if column.is_number:
        is_bad = isinstance(value, float) and not math.isfinite(value)
        return tag("td", show_number(value), class_="number bad" if is_bad else "number")
    if column.kind == "link" and value:
        return tag("td", tag("a", "picture", href=f"./{quote(str(value))}"))
    return tag("td", show_name(value or ""), class_="mark" if column.kind == "mark" else None)


def _pack(column: Column, value: object) -> object:
    """Return a value that JSON has: a number that is not finite is a text."""
    if value is None or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    if column.kind == "link":
        return f"./{quote(str(value))}"
    return shorten(str(value), _MAX_TEXT)
