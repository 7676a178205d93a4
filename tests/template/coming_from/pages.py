"""Pages of docs/coming_from: their rows, and the code in them."""

import re
import shlex
from dataclasses import dataclass
from typing import Any

from project.core.cli.arguments import STAGES, parse_arguments
from project.core.config.other_tools import OTHER_NAMES, PAGES
from project.core.config.yaml_files import Tree, parse_untyped
from tests.template.conftest import ROOT


@dataclass
class Row:
    """Row of a page's first table.

    Args:
        page: name of the page.
        before: code of the first column.
        after: code of the second column.
        text: the second column.
    """

    page: str
    before: list[str]
    after: list[str]
    text: str

    @property
    def is_unchanged(self) -> bool:
        """Whether what the other tool takes is taken here as well."""
        return self.text.startswith("the same")

    @property
    def settings(self) -> list[Tree]:
        """The settings that the second column gives, as trees."""
        return [tree for code in self.after for tree in settings_in(code)]


def read_page(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / PAGES / f"{page}.md").read_text(encoding="utf-8")


def rows_of(page: str) -> list[Row]:
    """Return the rows of a page's first table."""
    table = re.search(r"^\|---\|---\|\n((?:\|.*\n)+)", read_page(page), re.M)
    assert table is not None
    cells = [re.fullmatch(r"\| (.*) \| (.*) \|", line) for line in table[1].splitlines()]
    found = [(match[1], match[2]) for match in cells if match is not None]
    assert len(found) == len(cells)
    return [Row(page, _code_in(before), _code_in(after), after) for before, after in found]


def settings_in(code: str) -> list[Tree]:
    """Return the settings in a piece of code: a yaml, an option or a command; none in other code.

    Raises:
        ConfigError: an option is unknown.
    """
    words = shlex.split(code)
    if words[:2] == ["python", "cli.py"]:
        return parse_arguments(words[2:]).settings
    if code.startswith("--"):
        stages = [stage for stage, options in STAGES.items() if words[0][2:] in options]
        return parse_arguments([(stages or ["fit"])[0], *words]).settings
    return [parse_untyped(code, "page")] if is_yaml(code) else []


def is_yaml(code: str) -> bool:
    """Return whether a piece of code is a yaml mapping."""
    return re.match(r"[\w.]+: ", code) is not None


def names_in(code: str, page: str) -> list[str]:
    """Return the names of another tool in a piece of its code."""
    known = OTHER_NAMES[page]
    word = code.split()[0].lstrip("-+~").partition("=")[0].rstrip(":")
    paths = {word, code.split()[0], *(_keys(parse_untyped(code, "page")) if is_yaml(code) else ())}
    return [name for name in paths if name in known]


def _keys(value: Any, path: str = "") -> list[str]:
    if not isinstance(value, dict):
        return []
    inner = [key for name, item in value.items() for key in _keys(item, f"{path}{name}.")]
    return [*value, *(f"{path}{name}" for name in value), *inner]


def _code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)
