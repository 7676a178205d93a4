"""The page of the runs of a directory."""

from pathlib import Path

from project.core.errors import ConfigError
from project.study.report.html import page, section, tag
from project.study.report.reading import RunReader
from project.study.report.root_data import root_data
from project.study.report.root_tables import show_groups, show_header, show_importance, show_runs
from project.study.report.runs_view import RunsView
from project.study.runs import find_failed_starts, find_runs


def root_page(root: Path, reader: RunReader | None = None) -> str:
    """Return the page of the runs of a directory.

    Args:
        root: the directory.
        reader: remembers runs between the calls of a server, whose page has no links: it serves no other file.

    Raises:
        ConfigError: there is no run in the directory.
    """
    view = read_view(root, reader or RunReader())
    body = (
        show_header(view),
        tag("div", show_groups(view), id="group-part", data_live=True),
        tag("div", class_="controls filter", id="filter"),
        # Scripts fill and show these.
        tag(
            "div",
            section(
                "Curves",
                tag("div", class_="controls", id="controls"),
                tag("div", class_="legend", id="legend"),
                tag("div", class_="charts", id="charts"),
                note="hover to read, drag to zoom, double-click to zoom out",
            ),
            id="curves",
            hidden=True,
        ),
        tag(
            "div",
            section(
                "Settings and results",
                tag("div", class_="controls", id="parallel-controls"),
                tag("div", class_="scroll", id="parallel"),
                note="drag along an axis to choose runs, click on it for all",
            ),
            id="settings",
            hidden=True,
        ),
        tag("div", show_importance(view), id="importance", data_live=True),
        tag("div", show_runs(view, is_linked=reader is None), id="run-part", data_live=True),
    )
    return page(root.resolve().name, root_data(view), *body)


def read_view(root: Path, reader: RunReader) -> RunsView:
    """Return the runs of a directory."""
    found = find_runs(root)
    read = [(row, curves) for row, curves in map(reader.read, found) if row.path.is_dir()]  # not deleted meanwhile
    reader.keep(found)
    if not read:
        raise ConfigError(f"there is no run in {root}")
    read += [(row, {}) for row in find_failed_starts(found)]
    return RunsView(root, [row for row, _ in read], [curves for _, curves in read])
