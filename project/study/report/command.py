"""The command `report`, from options to an exit code."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from project.core.console import print_text
from project.core.errors import ConfigError, user_message, without_commands
from project.core.files import write_text
from project.core.installation import COMMAND
from project.study.options import Option, Options, describe_options, parse_options
from project.study.report.reading import RunReader
from project.study.report.root_page import root_page
from project.study.report.run_page import run_page
from project.study.report.serving import LivePage, serve
from project.study.runs import find_runs

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
            print(f"usage: {COMMAND} report RUN|ROOT [--OPTION VALUE ...]\n\noptions:\n{describe_options(OPTIONS)}")
            return 0
        directory = _directory(options.words)
        if "serve" in options.values:
            if "output" in options.values:
                raise ConfigError("--serve writes no file: leave out --output")
            return serve(LivePage(directory, partial(_page, directory, RunReader())), _port(options))
        if "port" in options.values:
            raise ConfigError("--port needs --serve")
        file = Path(options.text("output", str(directory / "report.html")))
        _write(file, _page(directory))
        print_text(without_commands(f"the report is {file}") + "\n")
    except ConfigError as error:
        print("error:", user_message(error), file=sys.stderr)
        return 2
    return 0


def _page(directory: Path, reader: RunReader | None = None) -> str:
    is_run = (directory / "config.yaml").is_file()
    return run_page(directory) if is_run else root_page(directory, reader)


def _directory(words: Sequence[str]) -> Path:
    if len(words) != 1:
        raise ConfigError(f"report takes one directory: {COMMAND} report RUN|ROOT")
    find_runs(Path(words[0]))  # raises for one without runs
    return Path(words[0])


def _port(options: Options) -> int:
    text = options.text("port", "0")
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise ConfigError(f"--port is '{text}'; it must be a number from 0 to 65535")
    return int(text)


def _write(file: Path, page: str) -> None:
    try:
        write_text(file, page)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror or error}\nuse --output FILE") from None
