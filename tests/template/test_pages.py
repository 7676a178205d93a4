"""The pages name files and headings that exist, and docs/architecture.md draws the imports that there are."""

import html
import re
from pathlib import Path

import pytest

import project
from tests.core.test_imports import ORDER, PACKAGE, imports, module_name, rank

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

DIAGRAMS = sorted((ROOT / "docs/diagrams").glob("*.mmd"))


def paths(text: str) -> set[str]:
    """Return what a page names as a path of this repository: `core/data/sampling.py`, `docs/`, [a](link.md)."""
    code = re.findall(r"`([\w./-]+/[\w./-]*)`", text)
    links = re.findall(r"\]\((?!https?:|../../actions/)([\w./-]+)(?:#[\w-]+)?\)", text)  # no pages of GitHub
    known = (
        "core/",
        "deploy/",
        "study/",
        "configs/",
        "docs/",
        "ops/",
        "scripts/",
        "tests/",
        "benchmarks/",
        f"{project.__name__}/",
    )
    return {path for path in code if path.startswith(known)} | {f"./{link}" for link in links}


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_named_files_exist(page: Path) -> None:
    roots = (page.parent, ROOT, PACKAGE)
    missing = {path for path in paths(page.read_text(encoding="utf-8")) if not any((r / path).exists() for r in roots)}
    assert missing == set()


@pytest.mark.parametrize("page", PAGES[:2], ids=["README", "CONTRIBUTING"])
def test_links_lead_to_headings(page: Path) -> None:
    """Of the pages in docs/, test_site.py checks them."""
    links = re.findall(r"\]\((?!https?:)([\w./-]*)#([\w-]+)\)", page.read_text(encoding="utf-8"))
    assert {(file, name) for file, name in links if name not in headings(page.parent / file if file else page)} == set()


def headings(page: Path) -> set[str]:
    """Return the names of a page's headings in links, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.M)}


def test_the_arrows_of_the_architecture_are_imports() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert "(diagrams/packages.svg)" in page
    picture = (ROOT / "docs/diagrams/packages.mmd").read_text(encoding="utf-8")
    labels = dict(re.findall(r"(\w+)\[\"(?:core/)?([\w./]+)", picture))
    arrows = re.findall(r"^ *(\w+)(?:\[.*?\])? --> (\w+)", picture, re.M)
    drawn = {(package(labels[one]), package(labels[two])) for one, two in arrows if labels[one] != "cli.py"}
    assert len(drawn) == len([one for one, _ in arrows if labels[one] != "cli.py"])
    packages = [PACKAGE / name for name in ("core", "deploy", "editor", "study")]
    files = [*(file for each in packages for file in each.rglob("*.py")), PACKAGE / "registry.py"]
    imported = {(rank(module_name(file)), rank(name)) for file in files for name in imports(file)}
    assert drawn - imported == set()


@pytest.mark.parametrize("source", DIAGRAMS, ids=[path.stem for path in DIAGRAMS])
def test_diagrams_are_drawn_from_their_text(source: Path) -> None:
    """The committed picture has the words, and of a flowchart the arrows, of the text that it was drawn from."""
    text, picture = source.read_text(encoding="utf-8"), source.with_suffix(".svg").read_text(encoding="utf-8")
    drawn = re.sub(r"\s", "", html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", "", picture, flags=re.S)))
    labels = re.findall(r'"([^"]+)"|\|([^|"]+)\||(?:: | as )(.+)$', text.partition("\n")[2], re.M)
    for label in ("".join(found) for found in labels):
        words = re.split(r"\s|<br>", label)
        assert [word for word in words if word not in drawn] == []
    arrows = re.findall(r"^ *(\w+)(?:\[.*?\])? -(?:-|\.[^>]*)>.*?(\w+)(?:\[.*)?$", text, re.M)
    if "sequenceDiagram" not in text:
        assert sorted({*re.findall(r'data-id="L_(\w+)_0"', picture)}) == sorted("_".join(pair) for pair in arrows)


def package(label: str) -> int:
    """Return the position in ORDER of a package in the picture."""
    name = label.removesuffix(".py").replace("/", ".")
    return ORDER.index(name if name in ORDER else f"core.{name}")
