"""The page of the runs of a directory."""

from pathlib import Path

from project.study.report.html import page, section, tag


def root_page(root: Path) -> str:
    """Return the page of the runs of a directory."""
    return page(root.name, {"kind": "root"}, tag("h1", root.name), section("Runs"))
