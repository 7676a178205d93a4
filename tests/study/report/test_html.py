"""Tests of markup in which every text is escaped, and of the frame of a page."""

import base64
import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from project.study.report import html, pieces
from project.study.report.html import Html, join, page, section, tag

EVIL = "</script><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>]]>\u2028\u2029"
HERE = Path(html.__file__).parent


@pytest.mark.parametrize(
    "make",
    [
        lambda text: tag("p", text),
        lambda text: tag("p", tag("b", text)),
        lambda text: tag("p", title=text),
        lambda text: tag("img", alt=text),
        lambda text: join(text, tag("br")),
        lambda text: section(text, text, note=text),
        lambda text: pieces.tiles([(text, text)]),
        lambda text: pieces.number_cell(text, title=text),
        lambda text: pieces.number_cell(1.0, text),
        lambda text: pieces.grid(text, [text], [[text]], id=text),
        lambda text: pieces.scrolling(text, text),
        lambda text: pieces.details(text, text),
        lambda text: pieces.problem(text),
        # What methods of str return is a text again.
        lambda text: tag("p", tag("b") + text),
        lambda text: tag("p", Html("{}").format(text)),
        lambda text: tag("p", Html("%s") % text),
        lambda text: tag("p", Html("x").replace("x", text)),
        lambda text: tag("p", Html("").join([text])),
    ],
)
def test_every_text_is_escaped(make: Callable[[str], Html]) -> None:
    """No text becomes an element or attribute, whatever it contains."""
    made = make(EVIL)
    assert isinstance(made, Html)
    assert "alert(1)" in made
    assert not re.search(r"<script|<img src|onerror=alert\(1\)>", made)
    assert "'&#x27;" not in made
    assert "\"'" not in made


def test_tag_writes_attributes_and_children() -> None:
    made = tag("td", 3, None, tag("br"), "<", class_="n", data_v=1.5, hidden=True, title=None, open=False)
    assert made == '<td class="n" data-v="1.5" hidden>3<br>&lt;</td>'


def test_page_runs_only_its_script_and_keeps_its_data() -> None:
    """The policy has the hash of the script, whatever names contain, and the data are what was given."""
    data = {"kind": "run", "name": EVIL, "number": 1.5}
    text = page(EVIL, data, tag("h1", EVIL))
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
    assert [attributes for attributes, _ in scripts] == [' type="text/plain" id="data"', ""]
    digest = base64.b64encode(hashlib.sha256(scripts[1][1].encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'; ")
    assert json.loads(gzip.decompress(base64.b64decode(scripts[0][1]))) == data


def test_page_is_utf_8_where_names_of_files_are_not() -> None:
    assert "run?" in page("run\udcff", {"kind": "run"}).encode().decode()


def test_page_loads_nothing() -> None:
    text = page("x", {"kind": "run"})
    assert not re.search(r"""(src|href)=|url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg")""", text)


def top_level_names(script: str) -> list[str]:
    return re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", script, re.MULTILINE)


def without_texts(script: str) -> str:
    """Return a script without comments, texts and names of attributes."""
    return re.sub(r"//.*|\"[^\"\n]*\"|[\w.]+\.\w+\.\w+|\w+:(?!:)", "", script)


def test_scripts_share_only_the_names_that_they_provide() -> None:
    """The first comment of a script lists the functions and classes others use, and no two scripts define one name."""
    scripts = {file.name: file.read_text(encoding="utf-8") for file in sorted(HERE.glob("*.js"))}
    names = {file: top_level_names(script) for file, script in scripts.items()}
    assert not [name for name, count in Counter(chain.from_iterable(names.values())).items() if count > 1]
    for file, script in scripts.items():
        comment = "".join(re.findall(r"\A(?:// .*\n)+", script))
        provided = re.search(r"Provides[^:]*: ([^.]*)\.", comment.replace("\n// ", " "))
        listed = set(re.findall(r"\w+", provided[1])) if provided else set()
        others = [without_texts(text) for other, text in scripts.items() if other != file]
        called = {name for name in names[file] if any(re.search(rf"(?<![.\w]){name}\(", text) for text in others)}
        assert called <= listed, file


def test_all_scripts_and_styles_are_on_the_page() -> None:
    text = page("x", {"kind": "run"})
    for file in (*HERE.glob("*.js"), *HERE.glob("*.css")):
        assert file.read_text(encoding="utf-8") in text, file.name
