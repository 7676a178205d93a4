"""The site and the how-to pages of a project that was started from the template."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.template.conftest import ROOT, copy_of_template, run, start
from tests.template.test_new_project_page import FENCE
from tests.template.test_site import check_site

sys.path.append(str(ROOT / "scripts"))
from write_llms_txt import FILE, describe_site, list_pages


@pytest.mark.slow
def test_site_of_a_project(copy: Path, tmp_path: Path) -> None:
    """It has the name of the project and all pages but the changelog, also without the examples."""
    child = start(copy, tmp_path, "Brighter")
    site = tomllib.loads((child / "zensical.toml").read_text(encoding="utf-8"))["project"]
    assert site["site_name"] == "Brighter"
    pages = {path.relative_to(child / "docs").as_posix() for path in (child / "docs").rglob("*.md")}
    assert set(list_pages(site["nav"])) == pages
    assert (child / FILE).read_text(encoding="utf-8") == describe_site(child)
    assert (child / "docs/index.md").read_text(encoding="utf-8").startswith("# Brighter\n")
    build = (sys.executable, "-m", "zensical", "build", "--strict")
    run(child, *build)
    check_site(child / "site")
    reference = (child / "site/reference/python/index.html").read_text(encoding="utf-8")
    assert 'id="Brighter.load"' in reference
    assert "project.load" not in reference
    page = (child / "docs/new_project.md").read_text(encoding="utf-8")
    delete = re.findall(FENCE, page.partition("\n## Delete the examples\n")[2], re.M | re.S)[0][1]
    run(child, "bash", "-euc", delete)
    run(child, *build)
    check_site(child / "site")


@pytest.mark.slow
def test_pages_are_followed_in_a_project(tmp_path: Path) -> None:
    """The pages of a task work under another name: their tests pass in a project that has them."""
    template = copy_of_template(tmp_path / "template")
    attributes = template / ".gitattributes"
    lines = attributes.read_text(encoding="utf-8").splitlines()
    attributes.write_text("\n".join(line for line in lines if "tests/template" not in line), encoding="utf-8")
    run(template, "git", "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qam", "Copy the tests of pages")
    child = start(template, tmp_path, "Brighter")
    tests = ("tests/template/how_to", "tests/template/test_reference_pages.py")
    shown = run(child, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert re.search(r"\d+ passed", shown)
    assert "failed" not in shown
