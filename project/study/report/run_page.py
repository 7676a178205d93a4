"""The page of a run."""

from pathlib import Path

from project.study.report.html import page, section, tag


def run_page(run: Path) -> str:
    """Return the page of a run."""
    return page(run.name, {"kind": "run"}, tag("h1", run.name), section("Curves"))
