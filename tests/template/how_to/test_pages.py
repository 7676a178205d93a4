"""Tests of all pages of docs/how_to: each is short, listed and followed by a test."""

import re
from pathlib import Path

import pytest

from tests.template.conftest import ROOT
from tests.template.how_to.reader import PAGES

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", PAGES)
def test_page_is_short_and_listed(name: str) -> None:
    text = (ROOT / f"docs/how_to/{name}.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    title = text.partition("\n")[0].removeprefix("# ")
    assert f"[{title}]({name}.md)" in (ROOT / "docs/how_to/index.md").read_text(encoding="utf-8")
    assert f'"how_to/{name}.md"' in (ROOT / "zensical.toml").read_text(encoding="utf-8")


def test_each_page_is_followed_by_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    assert sorted({*re.findall(r'\.follow\(\s*"(\w+)"', tests)}) == PAGES
