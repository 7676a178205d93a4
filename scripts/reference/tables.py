"""Tables of settings and arguments in Markdown."""

import inspect
import re
from collections.abc import Collection, Iterable

import yaml

from project.core.config.annotations import (
    ContainerOf,
    Parameter,
    component_field,
    describe_type,
    resolve_annotation,
)
from project.core.config.defaults import OMITTED, plain_default

_GIVEN = "given by the engine."  # matched: docstrings of arguments that no yaml sets
_MARKUP = re.compile(r"\*|(?<!\w)_|_(?!\w)")
_DOCS = re.compile(r"docs/([\w/]+)\.md")


def table(head: str, rows: Iterable[tuple[str, Parameter, str]], given: Collection[str] = ()) -> str:
    """Return a table of settings.

    Args:
        head: what a row is, such as "setting".
        rows: name of each setting, what it takes, and what it means if that is not its docstring.
        given: names of those that the engine gives, unless the yaml does.
    """
    lines = [f"| {head} | type | default | meaning |", "|---|---|---|---|"]
    for name, item, meaning in rows:
        if item.doc != _GIVEN:
            cells = [
                f"`{name}`",
                _type(item),
                "given" if name in given else _default(item),
                escape(meaning or " ".join(item.doc.split())),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def escape(text: str) -> str:
    """Return a text as Markdown shows it in a cell, with links to pages; code in backticks stays as it is."""
    parts = re.split(r"(``.*?``|`[^`]*`)", text)
    for number, part in enumerate(parts[::2]):
        part = _MARKUP.sub(r"\\\g<0>", part.replace("$", "&#36;"))  # GitHub shows formulas between dollars
        parts[2 * number] = _DOCS.sub(r"[\1](../\1.md)", re.sub(r"<(?=[a-z/])", "&lt;", part))
    return "".join(parts).replace("|", "&#124;")


def _type(item: Parameter) -> str:
    if item.annotation is inspect.Parameter.empty:
        return "any"
    text = describe_type(item.annotation)
    group = resolve_annotation(item.annotation, {}) or resolve_annotation(item.annotation, [])
    group = resolve_annotation(group.item, {}) if isinstance(group, ContainerOf) else group
    if isinstance(group, type) and component_field(group) is None:
        text = text.replace(f"{group.__name__}, or several", "list of settings").replace(group.__name__, "settings")
    return escape(text.replace(" | ", " or "))


def _default(item: Parameter) -> str:
    if item.required:
        return "required"
    default = plain_default(item)
    if default is OMITTED or isinstance(default, dict):
        return ""
    text: str = yaml.safe_dump(default, default_flow_style=True, width=1000)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"
