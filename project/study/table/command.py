"""The command `table`, from options to an exit code."""

import sys
from collections.abc import Sequence
from pathlib import Path

from project.core.errors import ConfigError, user_message
from project.study.options import Option, describe_options, parse_options
from project.study.runs import find_runs, read_run

OPTIONS = {
    "by": Option("settings whose runs form one line each (default: all that differ, except seed and fold)", None),
    "metrics": Option("metrics that become columns", None),
    "sort": Option("column to sort by"),
    "baseline": Option("value of a setting; the others are compared with its runs"),
    "format": Option("text (default), csv, md, latex or html", choices=("text", "csv", "md", "latex", "html")),
    "help": Option("show this", 0),
}


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
            print(
                f"usage: python cli.py table [ROOT ...] [--OPTION VALUE ...]\n\noptions:\n{describe_options(OPTIONS)}"
            )
            return 0
        for root in options.words or ["experiments"]:
            for path in find_runs(Path(root)):
                run = read_run(path)
                print(run.name, run.state, run.best.value if run.best else "")
    except ConfigError as error:
        print("error:", user_message(error), file=sys.stderr)
        return 2
    return 0
