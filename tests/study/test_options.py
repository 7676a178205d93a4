"""Options of the commands without torch."""

import pytest

from project.core.errors import ConfigError
from project.study.options import Option, describe_options, parse_options

KNOWN = {
    "by": Option("settings", None),
    "sort": Option("column"),
    "format": Option("form", choices=("text", "csv")),
    "help": Option("show this", 0),
}


def test_words_and_values_are_told_apart() -> None:
    options = parse_options("table", ["a", "--sort", "-lr", "b", "--by", "x", "y", "--format=csv", "--by=z"], KNOWN)
    assert options.words == ["a", "b"]
    assert options.values == {"sort": ["-lr"], "by": ["x", "y", "z"], "format": ["csv"]}
    assert (options.text("format", "text"), options.text("other", "text")) == ("csv", "text")
    assert parse_options("table", ["-h"], KNOWN).values == {"help": []}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--srot", "x"], "table has no option --srot; did you mean 'sort'?\nknown: by, sort, format, help"),
        (["--sort"], "--sort needs a value"),
        (["--by", "--sort", "x"], "--by needs a value"),
        (["--help=x"], "--help takes no value"),
        (["--format", "cvs"], "--format is 'cvs'; did you mean 'csv'?\nknown: text, csv"),
    ],
)
def test_mistakes_are_told(argv: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_options("table", argv, KNOWN)
    assert str(error.value) == message


def test_the_help_has_a_line_for_each_option() -> None:
    assert len(describe_options(KNOWN).splitlines()) == len(KNOWN)
