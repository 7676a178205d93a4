"""The command `table`, from options to an exit code."""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from project.core.console import print_text
from project.core.errors import ConfigError, user_message, without_commands
from project.core.installation import COMMAND
from project.study.options import Option, describe_options, parse_options
from project.study.planned import describe_unstarted
from project.study.runs import RunRow, find_failed_starts, find_runs, read_run
from project.study.table.content import Choices, Table, make_table
from project.study.table.formats import format_csv, format_html, format_latex, format_markdown, format_text

_FORMATS: dict[str, Callable[[Table], str]] = {
    "text": lambda table: format_text(table, _terminal_width()),
    "csv": format_csv,
    "md": format_markdown,
    "latex": format_latex,
    "html": format_html,
}
OPTIONS = {
    "by": Option("settings whose values have a line each (default: all that differ, except seed and fold)", None),
    "metrics": Option("metrics, or the ends of their names (default: best and last monitored, results)", None),
    "sort": Option("column to sort by; -COLUMN for descending order"),
    "baseline": Option("VALUE or KEY=VALUE of a setting in --by; its runs are subtracted from the others"),
    "format": Option("text (default), csv, md, latex or html", choices=tuple(_FORMATS)),
    "help": Option("show this", 0),
}
_USAGE = f"""usage: {COMMAND} table [ROOT ...] [--OPTION VALUE ...]

Print a line for each group of runs in directories (default: experiments), with the mean ± standard deviation of
metrics over seeds and folds.

options:
"""


def main(argv: Sequence[str]) -> int:
    """Print a table of runs.

    Args:
        argv: directories and options.

    Returns:
        0, or 2 for a mistake in the options.

    Example::

        main(["experiments", "--by", "lr"])
    """
    try:
        options = parse_options("table", argv, OPTIONS)
        if "help" in options.values:
            print_text(f"{_USAGE}{describe_options(OPTIONS)}\n")
            return 0
        values = {name: options.values[name][0] if name in options.values else None for name in ("sort", "baseline")}
        choices = Choices(options.values.get("by"), options.values.get("metrics"), **values)
        rows = _read_rows(options.words or ["experiments"])
        table = make_table(rows, choices)
        table.notes = [*map(without_commands, describe_unstarted(rows)), *table.notes]
        form = options.text("format", "text")
        print_text(_FORMATS[form](table))
        if form == "csv":  # a file of csv has no place for them
            sys.stderr.write("".join(f"{note}\n" for note in table.notes))
    except ConfigError as error:
        print("error:", user_message(error), file=sys.stderr)
        return 2
    return 0


def _read_rows(roots: Sequence[str]) -> list[RunRow]:
    """Return the runs in directories, each once."""
    paths = {path.resolve(): path for root in roots for path in find_runs(Path(root))}.values()
    return [*map(read_run, paths), *find_failed_starts(paths)]


def _terminal_width() -> int | None:
    """Return the width of the terminal; None if the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
