"""The command `report`, from options to an exit code."""

import sys
from collections.abc import Sequence
from pathlib import Path

from project.core.errors import ConfigError, user_message
from project.core.files import write_text
from project.study.options import Option, describe_options, parse_options
from project.study.report.root_page import root_page
from project.study.report.run_page import run_page

OPTIONS = {
    "output": Option("file to write (default: report.html in the directory)"),
    "serve": Option("show the page on this machine, and update it while runs train", 0),
    "port": Option("port for --serve; 0 takes a free one (default: 0)"),
    "help": Option("show this", 0),
}


def main(argv: Sequence[str]) -> int:
    """Write report.html of a run, or of the runs of a directory.

    Args:
        argv: the directory, and options.

    Returns:
        0, or 2 for a mistake in the options.

    Example::

        main(["experiments/digits"])
    """
    try:
        options = parse_options("report", argv, OPTIONS)
        if "help" in options.values:
            print(f"usage: python cli.py report RUN|ROOT [--OPTION VALUE ...]\n\noptions:\n{describe_options(OPTIONS)}")
            return 0
        directory = Path(options.words[0])
        page = run_page(directory) if (directory / "config.yaml").is_file() else root_page(directory)
        file = Path(options.text("output", str(directory / "report.html")))
        write_text(file, page)
        print(f"the report is {file}")
    except ConfigError as error:
        print("error:", user_message(error), file=sys.stderr)
        return 2
    return 0
