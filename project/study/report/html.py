"""Markup in which every text is escaped, and the frame of a page."""

import base64
import gzip
import hashlib
import html
import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_VOID = ("img", "input", "br")
_STYLES, _SCRIPTS = ("page.css",), ("page.js",)


class Html(str):
    """Markup; every other text is escaped when it becomes a part of markup."""


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
    inner = "".join(
        child if isinstance(child, Html) else html.escape(str(child)) for child in children if child is not None
    )
    return Html(f"<{name}{shown}>" if name in _VOID else f"<{name}{shown}>{inner}</{name}>")


def section(title: str, *children: object, note: str = "") -> Html:
    """Return a section with a heading, and a note beside it."""
    return tag("section", tag("h2", title, tag("small", note) if note else None), *children)


def page(title: str, data: Any, *body: object) -> str:
    """Return a whole page, whose script reads `data`; no other script runs, whatever a name contains."""
    packed = base64.b64encode(gzip.compress(json.dumps(data, separators=(",", ":")).encode(), 9, mtime=0)).decode()
    style = "".join((_HERE / name).read_text(encoding="utf-8") for name in _STYLES)
    script = "".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head><body>{tag('main', *body)}"
        f'<script type="text/plain" id="data">{packed}</script><script>{script}</script></body></html>'
    )
