"""The demo page loads its own files only, and works under a strict Content-Security-Policy."""

import re

import pytest

from project.deploy.demo import read_files

FILES = {name: content.decode() for name, content in read_files().items()}


def test_files_that_are_named_are_there() -> None:
    """What the page and its modules load is served."""
    named: set[str] = set()
    for text in FILES.values():
        named.update(re.findall(r'(?:src|href)="([\w.]+\.\w+)"', text), re.findall(r'from "\./([\w.]+)"', text))
    assert {"demo.css", "demo.js", "pad.js"} <= named <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_file_needs_no_other_origin(name: str) -> None:
    """No address of another server: the page works without a network."""
    addresses = re.findall(
        r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", FILES[name].replace("http://www.w3.org/2000/svg", "")
    )
    assert addresses == []


def test_page_has_no_inline_code() -> None:
    """The policy refuses scripts and styles in the page."""
    assert re.findall(r"<script(?![^>]* src=)|<style| style=| on\w+=", FILES["index.html"]) == []
    scripts = "".join(text for name, text in FILES.items() if name.endswith(".js"))
    assert re.findall(r"innerHTML|outerHTML|\beval\(|new Function|\.cssText|\"style\"", scripts) == []


@pytest.mark.parametrize("name", FILES)
def test_file_is_short(name: str) -> None:
    """Each file is read in one go."""
    assert len(FILES[name].splitlines()) <= 300
