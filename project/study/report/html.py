"""Markup in which every text is escaped, and the frame of a page."""

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_POLICY, _DATA = "default-src 'none'", 'id="data"'  # parts of a page
_HERE = Path(__file__).parent
_VOID = ("img", "input", "br", "wbr")
# Joined in this order; the first lines of a script say what it provides for those after it.
_REPORT = (
    *("page.css", "chart.css", "run.css", "root.css"),
    *("dom.js", "scales.js", "chart.js", "drawing.js", "gestures.js", "controls.js", "live.js"),
    *("pictures.js", "run.js", "table.js", "parallel.js", "groups.js", "root.js"),
)
_LAST = "main.js"
REPORT_FILES = tuple(_HERE / name for name in _REPORT)


class Html(str):
    """Markup. Every other text is escaped when it becomes a part of markup; what `str` methods return is such text."""


def tag(name: str, *children: object, **attributes: object) -> Html:
    """Return an element; `class_` is the attribute `class`, `data_v` is `data-v`, True has no value, None is left out.

    Example::

        tag("td", 3, class_="number")  # <td class="number">3</td>
    """
    shown = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{html.escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{shown}>" if name in _VOID else f"<{name}{shown}>{join(*children)}</{name}>")


def join(*children: object) -> Html:
    """Return elements and texts one after another, without an element around them; None is left out."""
    return Html(
        "".join(
            str(child) if isinstance(child, Html) else html.escape(str(child))
            for child in children
            if child is not None
        )
    )


def section(title: str, *children: object, note: str = "") -> Html:
    """Return a section with a heading, and a note beside it."""
    return tag("section", tag("h2", title, tag("small", note) if note else None), *children)


def page(title: str, data: Any, *body: object, files: Sequence[Path] = REPORT_FILES) -> str:
    """Return a whole page.

    The script of the page reads `data`, whose `kind` says which function shows it. No other script runs, whatever a
    name contains, and nothing is loaded from elsewhere.

    Args:
        title: title of the window.
        data: plain data.
        body: what the page contains.
        files: its styles and scripts.
    """
    # Compressed, and in base64, which has no character that could end the element.
    packed = base64.b64encode(gzip.compress(json.dumps(data, separators=(",", ":")).encode(), 6, mtime=0)).decode()
    style = _read(file for file in files if file.suffix == ".css")
    parts = _read((*(file for file in files if file.suffix == ".js"), _HERE / _LAST))
    script = f'"use strict";\n{{\n{parts}}}\n'  # in a block, so that nothing is global
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    closed = f"{_POLICY}; base-uri 'none'; form-action 'none'"  # the default does not cover the others
    policy = f"{closed}; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head><body>"
        f"{tag('main', *body, tag('noscript', tag('p', 'Curves and long tables need JavaScript, which is disabled.')))}"
        f'<script type="text/plain" {_DATA}>{packed}</script><script>{script}</script></body></html>'
    )
    return text.encode("utf-8", "replace").decode()  # names of files may have bytes that are not UTF-8


def make_live(text: str, stamp: str) -> str:
    """Return a page that asks the server it came from whether `stamp` has changed.

    Args:
        text: what `page` returned.
        stamp: letters and digits that change when the page does.
    """
    # The first ones are those of `page`: names cannot contain them, as quotes are escaped.
    return text.replace(_POLICY, f"{_POLICY}; connect-src 'self'", 1).replace(_DATA, f'{_DATA} data-stamp="{stamp}"', 1)


def _read(files: Iterable[Path]) -> str:
    return "".join(file.read_text(encoding="utf-8") for file in files)
