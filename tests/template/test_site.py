"""The site shows all pages, loads nothing from elsewhere, and its links, pictures and anchors exist."""

import functools
import html
import http.server
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin

import pytest

import project
from tests.template.conftest import ROOT, git

if TYPE_CHECKING:
    from playwright.sync_api import Browser

sys.path.append(str(ROOT / "scripts"))
from write_llms_txt import FILE, describe_site, list_pages

DOCS = ROOT / "docs"
SITE = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
FENCES = re.compile(r"^```.*?^```$", re.M | re.S)


def headings(page: Path) -> list[str]:
    """Return the headings of a page, without code."""
    return re.findall(r"^#+ (.*)$", FENCES.sub("", page.read_text(encoding="utf-8")), re.M)


def github_anchor(heading: str) -> str:
    """Return the anchor of a heading on GitHub."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def site_anchor(heading: str) -> str:
    """Return the anchor of a heading on the site."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def test_navigation_has_each_page_once() -> None:
    assert Counter(list_pages(SITE["nav"])) == Counter(PAGES)


def test_index_for_assistants_is_up_to_date() -> None:
    """`python scripts/write_llms_txt.py` writes it again."""
    assert (ROOT / FILE).read_text(encoding="utf-8") == describe_site(ROOT)


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page(page: str) -> None:
    """They stay in docs/, lead to files, and to headings with the same anchor on GitHub and on the site."""
    path = DOCS / page
    text = re.sub(r"`[^`\n]*`", "", FENCES.sub("", path.resolve().read_text(encoding="utf-8")))
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text)
    for link in ("".join(found) for found in links):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.is_relative_to(DOCS.resolve()), f"{link} leads outside docs/"
        assert target.is_file(), f"{link} does not exist"
        if anchor:
            known = headings(target)
            assert anchor in {github_anchor(heading) for heading in known}, link
            assert anchor in {site_anchor(heading) for heading in known}, link


@pytest.mark.parametrize("page", PAGES)
def test_page_is_plain_markdown(page: str) -> None:
    """GitHub shows tabs, admonitions and snippets as noise; the theme loads a script for mermaid."""
    text = (DOCS / page).read_text(encoding="utf-8")
    assert not re.search(r"^\s*(?:!!!|\?\?\?|===|--8<--|```mermaid|:::(?! \w))", text, re.M)
    assert page == "reference/python.md" or "\n::: " not in text
    linked = Counter(github_anchor(heading) for heading in headings(DOCS / page))
    assert page == "changelog.md" or max(linked.values(), default=1) == 1, "two headings have the same anchor"


def test_pages_that_code_names_exist() -> None:
    """Docstrings, messages, yaml files and pages name `docs/page.md`, also with an anchor."""
    names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in names:
        path = ROOT / name
        if path.suffix not in (".py", ".yaml", ".yml", ".md", ".toml", ".sh", ".txt", ".js", ".html"):
            continue
        if not path.is_file() or name.startswith("tests/"):
            continue
        text = path.read_text(encoding="utf-8")
        for page, anchor in re.findall(r"(?<![\w/])docs/([\w/]+\.md)(?:#([\w-]+))?", text):
            assert (DOCS / page).is_file(), f"{name} names docs/{page}"
            anchors = {github_anchor(heading) for heading in headings(DOCS / page)}
            assert not anchor or anchor in anchors, f"{name} names docs/{page}#{anchor}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site in another directory, and return it."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "scripts", project.__name__):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "zensical.toml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", "zensical.toml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def check_site(site: Path) -> None:
    """Check that links, pictures and anchors of a site exist, and that it loads nothing from elsewhere."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(site.rglob("*.html"))}
    anchors = {path: {*map(html.unescape, re.findall(r'\bid="([^"]+)"', text))} for path, text in pages.items()}
    assert len(pages) > 30
    for path, text in pages.items():
        if path.name == "404.html":  # its addresses begin with the address of the site
            continue
        loaded = re.findall(r'<(?:script|img|source|iframe)[^>]*? src="?([^"\s>]+)', text)
        loaded += re.findall(r'<link[^>]*? href="?([^"\s>]+)', text)
        assert [link for link in loaded if link.startswith(("http:", "https:", "//"))] == []
        for link in {*loaded, *re.findall(r'<a[^>]*? href="?([^"\s>]+)', text)}:
            if re.match(r"[a-z]+:", link):
                continue
            address, _, anchor = html.unescape(link).partition("#")
            base = f"/{path.relative_to(site).as_posix()}"
            target = site / unquote(urljoin(base, address)).lstrip("/")
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{base}: {link}"
            if anchor and target in anchors and not anchor.startswith("__"):
                assert unquote(anchor) in anchors[target], f"{base}: {link}"


@pytest.mark.slow
def test_built_site(site: Path) -> None:
    check_site(site)
    assert (site / "llms.txt").is_file()
    for address in re.findall(r"^- \[.*\]\(([\w./-]+)\)", (site / "llms.txt").read_text(encoding="utf-8"), re.M):
        assert (site / address / "index.html").is_file(), address


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Return the address of the site on this machine."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.browser
def test_pages_in_a_browser(site: Path, address: str, browser: "Browser") -> None:
    """No page asks another host, has an error, or is wider than the window, also on a phone."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    asked: set[str] = set()
    errors: list[str] = []
    context.on("request", lambda request: asked.add(request.url))
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(f"{page.url}: {error}"))
    for path in sorted(site.rglob("index.html")):
        page.goto(address + path.relative_to(site).as_posix())
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.scrollingElement.scrollWidth") <= width, path
        broken = "[...document.images].filter(image => image.complete && !image.naturalWidth).map(image => image.src)"
        assert page.evaluate(broken) == [], path
    assert {url for url in asked if not url.startswith((address, "data:", "blob:"))} == set()
    assert errors == []
    context.close()
