"""Pieces that pages share: tiles, tables, numbers, and files that may be missing, damaged or large."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from project.study.files import MAX_BYTES, check_regular, parse_json
from project.study.report.html import Html, tag


def format_number(value: object, digits: int = 4) -> str:
    """Return a number as pages show it; `—` for one that is missing or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "—" if value is None else str(value)
    return f"{value + 0.0:.{digits}g}" if math.isfinite(value) else "—"


def format_seconds(seconds: float | None) -> str:
    """Return a duration, such as `3 min 20 s`; `—` for one that is missing."""
    if seconds is None or not math.isfinite(seconds):
        return "—"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, hours = round(seconds) // 60, round(seconds) // 3600
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {round(seconds) % 60} s"


def tiles(pairs: Iterable[tuple[str, object]]) -> Html:
    """Return names and values as a list of tiles."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), class_="tiles")


def number_cell(value: object, shown: str | None = None, **attributes: object) -> Html:
    """Return a cell of a table for a number; `data-v` is its exact value, for sorting."""
    exact = value if isinstance(value, int | float) and math.isfinite(value) else None
    text = format_number(value) if shown is None else shown
    return tag("td", text, class_="number", data_v=None if exact is None else repr(exact), **attributes)


def grid(label: str, head: Sequence[object], rows: Iterable[Sequence[object]], **attributes: object) -> Html:
    """Return a table that scrolls by itself where it is wider than the page; cells that are no `Html` become `<td>`.

    Args:
        label: what the table shows, for screen readers.
        head: its headings; empty for none.
        rows: its cells.
        attributes: of the element `table`.
    """
    headings = tag("thead", tag("tr", *(_cell(cell, "th") for cell in head))) if head else None
    body = tag("tbody", *(tag("tr", *(_cell(cell, "td") for cell in row)) for row in rows))
    return scrolling(label, tag("table", headings, body, **attributes))


def scrolling(label: str, *children: object, class_: str = "scroll") -> Html:
    """Return an element that scrolls by itself, also with the keyboard."""
    return tag("div", *children, class_=class_, tabindex=0, role="group", aria_label=label)


def details(title: object, *children: object, is_open: bool = False) -> Html:
    """Return an element that opens at a click on its title."""
    return tag("details", tag("summary", title), *children, open=is_open)


def problem(text: str) -> Html:
    """Return a line that says what is wrong, or left out."""
    return tag("p", text, class_="problem")


def read_text(path: Path, problems: list[str]) -> str | None:
    """Return the text of a file; None if it is missing, or cannot be read, which is added to `problems`.

    Of a very long one, such as a log, this is the end.
    """
    try:
        size = check_regular(path)
        with path.open("rb") as file:
            if size > MAX_BYTES:
                problems.append(f"only the last {MAX_BYTES // 1_000_000} MB of {_shown(path)} are read")
                file.seek(size - MAX_BYTES)
            return file.read(MAX_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{_shown(path)} cannot be read: {error.strerror or error}")
        return None


def read_json(path: Path, problems: list[str]) -> dict[str, Any] | None:
    """Return the object in a JSON file; None if it is missing, or damaged, which is added to `problems`."""
    text = read_text(path, problems)
    if text is None:
        return None
    try:
        value = parse_json(text)
    except (ValueError, RecursionError) as error:
        problems.append(f"{_shown(path)} is damaged: {error}")
        return None
    if not isinstance(value, dict):
        problems.append(f"{_shown(path)} is damaged: it is no object")
        return None
    return value


def _shown(path: Path) -> str:
    """Return the name of a file with that of its directory, which says whose it is."""
    return f"{path.parent.name}/{path.name}"


def _cell(cell: object, name: str) -> Html:
    return cell if isinstance(cell, Html) and cell.startswith(("<td", "<th")) else tag(name, cell)
