"""Plain values: one reading of scalars on every way in, bounds, and numbers that no setting takes."""

import math
from collections.abc import Callable
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from annotated_types import Ge, Gt, Interval
from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor

from project.core.cli.arguments import parse_arguments
from project.core.config.annotations import describe_type
from project.core.config.values import is_accepted, to_type
from project.core.config.yaml_files import PlainScalar, dump_yaml, parse_untyped, parse_yaml
from tests.components import MLP
from tests.conftest import Cli, slow_except

NUMBERS = "0 1 -1 +1 8 12 007 010 08 0o17 0x1F 0b101 1_000 1,000 12:30 12:30:00 1:2:3.4 1e3 1E3 1e-3 1.e3 .5 5. -.5 +.5"
FLOATS = (
    "0.1 1.0 -0.0 1e400 1e-400 3.14159265358979 .inf -.inf +.inf .Inf .nan .NaN inf nan NaN Infinity 1.2.3 1e 1e+ e3"
)
BOOLEANS = "true True TRUE false False yes no Yes NO on off On OFF y n t f Y N"
DATES = "2001-01-01 2001-01-01T12:00:00 2001-1-1 20010101 12:00 1-2 1/2 1.2.3.4 10% 3px 5s 1j 1+1"
WORDS = (
    "abc a_b a.b a/b ../a /a ~a a~ =a = <a a=b a-b a:b a#b v1 v1.0 None nil NULLS Null_ ten é ß x y_z None_ a@b a+b +"
)
QUOTED = "'1' '010' '12:30' 'true' 'null' \"1.0\" \"abc\" '' \"1e3\" '2001-01-01'"
SCALARS = [*" ".join((NUMBERS, FLOATS, BOOLEANS, DATES, WORDS, QUOTED)).split(), "null", "~", "Null", "NULL"]
ANNOTATIONS = [
    *(int, float, bool, str, Any, int | None, str | None, int | str, float | str, bool | str, list[int] | int),
    *(Path | None, Literal["a", "1"], Literal[1, "yes"], Annotated[int, Ge(1)], str | Path | None),
]


IN_DEFAULT_RUN = (int, float, str, bool | str, Path | None, Annotated[int, Ge(1)], Literal["a", "1"], Any)


def read(value: object, annotation: Any) -> object:
    """Return a value as a component gets it; "refused" if it is."""
    value = to_type(value, annotation)
    if not is_accepted(value, annotation):
        return "refused"
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=annotation)
    try:
        return repr(parser.parse_object({"value": value}).value)
    except (ArgumentError, TypeError, ValueError):
        return "refused"


@pytest.mark.parametrize("annotation", slow_except(ANNOTATIONS, *IN_DEFAULT_RUN), ids=str)
def test_scalar_means_the_same_in_yaml_option_and_saved_config(annotation: Any) -> None:
    assert len(set(SCALARS)) > 120
    different = {}
    for text in SCALARS:
        given = parse_untyped(f"value: {text}", "file")["value"]
        option = parse_arguments(["fit", "--model", text]).settings[0]["model"]
        saved = parse_yaml(dump_yaml({"value": to_type(given, annotation)}), "checkpoint")["value"]
        found = [read(value, annotation) for value in (given, option, saved)]
        if len(set(found)) > 1:
            different[text] = found
    assert different == {}


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("12:30", int, "refused"),
        ("010", int, "refused"),
        ("12:30", int | str, "refused"),  # jsonargparse would read it as 750
        ("auto", int | str, "'auto'"),
        ("010", str, "'010'"),
        ("'8'", int, "refused"),
        ("8", int, "8"),
        ("8", float, "8.0"),
        ("1e-3", float, "0.001"),
        ("1e-3", str, "'1e-3'"),
        ("1_000", int, "refused"),
        ("8", str, "'8'"),
        ("true", str, "'true'"),
        ("no", str, "'no'"),
        ("2001-01-01", str, "'2001-01-01'"),
        ("2001-01-01", Any, "'2001-01-01'"),
        ("8", Any, "8"),
        ("0.5", Any, "0.5"),
        ("true", Any, "True"),
        ("[1, a]", Any, "[1, 'a']"),
        ("true", bool, "True"),
        ("'true'", bool, "refused"),
        ("1", bool, "refused"),
        ("true", int, "refused"),
        ("1.0", int, "refused"),
        ("[1, '2']", list[int], "refused"),
        ("'[1, 2]'", list[int], "refused"),
        ("{a: '1'}", dict[str, float], "refused"),
        ("[010, b]", list[str], "['010', 'b']"),
        ("1", Literal["a", "1"], "'1'"),
        ("8", int | None, "8"),
        (".nan", Any, "refused"),
        ("[1, .nan]", Any, "refused"),
    ],
)
def test_text_is_no_number_and_an_unquoted_number_can_be_a_text(text: str, annotation: Any, value: str) -> None:
    assert read(parse_untyped(text, "here"), annotation) == value


class Color(IntEnum):
    """Colors by name."""

    RED = 1


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("[a, 3]", tuple[str, int], "('a', 3)"),
        ("[[a, 3]]", list[tuple[str, int]], "[('a', 3)]"),
        ("{x: [a, 3]}", dict[str, tuple[str, int]], "{'x': ('a', 3)}"),
        ("[1, 2]", list[int] | list[str], "[1, 2]"),
        ("[a, 1]", list[int] | list[str], "['a', '1']"),
        ("RED", Color, "<Color.RED: 1>"),
        ("RED", Color | None, "<Color.RED: 1>"),
        ("1j", complex, "1j"),
        ("0.5", Decimal, "Decimal('0.5')"),
        ("8", Callable[[int], int], "refused"),
        ("8", Callable, "refused"),
        ("[1]", Callable | None, "refused"),
        ("1", Literal[1.0, 0.5], "1"),
        ("'0.5'", Annotated[float, Ge(0)] | Tensor, "refused"),
    ],
)
def test_unusual_annotations(text: str, annotation: Any, value: str) -> None:
    assert read(parse_untyped(text, "here"), annotation) == value


class Sentinels(MLP):
    """Net with defaults that its own annotations do not accept."""

    def __init__(
        self, count: Annotated[int, Ge(1)] = 0, missing: float = float("nan"), color: Color = Color.RED
    ) -> None:
        super().__init__(64, 10)


def test_run_with_such_defaults_is_repeated_tested_and_resumed(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny({"model": {"net": {"type": "tests.core.config.test_values.Sentinels"}}})
    base = yaml.safe_load(Path(config).with_name("base.yaml").read_text())
    base["model"]["net"] = {"type": "tests.core.config.test_values.Sentinels"}
    Path(config).write_text(yaml.safe_dump(base))
    assert cli("fit", "--config", config).code == 0
    for argv in (
        ["fit", "--config", "experiments/tiny/config.yaml", "--name", "again"],  # as job.sh does
        ["test", "--ckpt_path", "experiments/tiny"],
        ["fit", "--resume", "experiments/tiny", "--trainer.max_epochs", "2"],
    ):
        ran = cli(*argv)
        assert ran.code == 0, ran.err
    ran = cli("fit", "--config", config, "--name", "other", "--model.net.count", "-1")
    assert (ran.code, ran.err) == (2, "error: model.net.count is -1; it takes int >= 1\n")


FRACTION = Annotated[float, Interval(ge=0, lt=1)]
COUNT = Annotated[int, Ge(1)]


@pytest.mark.parametrize(
    ("annotation", "accepted", "refused"),
    [
        (FRACTION, [0, 0.5], [-0.1, 1, 1.5, float("nan"), float("inf"), -float("inf"), "0.5"]),
        (COUNT, [1, 10**9], [0, -1, 1.5, "1"]),
        (COUNT | None, [None, 1], [0]),
        (Annotated[int | None, Ge(1)], [None, 1], [0]),
        (Literal[-1] | COUNT, [-1, 1], [0, -2, True]),
        (list[FRACTION], [[], [0, 0.5]], [[2], [0.5, -1], 0.5]),
        (tuple[COUNT, FRACTION], [[1, 0.5]], [[0, 0.5], [1, 1]]),
        (dict[str, COUNT] | None, [None, {"a": 1}], [{"a": 0}]),
        (COUNT | list[COUNT], [1, [1, 2]], [0, [1, 0]]),
        (Annotated[float, Gt(0)] | str, [0.1, "auto"], [0, -1]),
        (float, [-1, float("inf")], [float("nan")]),
    ],
    ids=lambda value: describe_type(value) if not isinstance(value, list) else None,
)
def test_numbers_must_be_within_the_bounds_of_their_annotation(
    annotation: Any, accepted: list[Any], refused: list[Any]
) -> None:
    assert [value for value in accepted if not is_accepted(value, annotation)] == []
    assert [value for value in refused if is_accepted(value, annotation)] == []


def test_plain_scalars_get_their_types_at_any_depth() -> None:
    value = parse_untyped("{a: [1, 0.5, yes, null, x], 2: 010}", "here")
    assert value == {"a": ["1", "0.5", "yes", None, "x"], "2": "010"}
    typed = to_type(value, Any)
    assert typed == {"a": [1, 0.5, True, None, "x"], 2: "010"}
    assert {type(item) for item in typed["a"]} == {int, float, bool, type(None), str}
    assert type(to_type(PlainScalar("8"), str)) is str


@pytest.mark.parametrize(
    ("annotation", "key"), [(dict[int, int], 4), (dict[str, int], "4"), (dict[float, int] | None, 4.0), (Any, 4)]
)
def test_key_has_the_type_that_the_annotation_asks_for(annotation: Any, key: object) -> None:
    assert [*to_type(parse_untyped("{4: 1}", "here"), annotation)] == [key]
    assert type(next(iter(to_type(parse_untyped("{4: 1}", "here"), annotation)))) in (type(key), int)


@pytest.mark.parametrize("number", [2**64, -(2**64), math.nan, [2**70], {"a": [math.nan]}])
def test_what_no_tensor_holds_is_no_number(number: Any) -> None:
    assert not is_accepted(number, int | float | list[int] | dict[str, list[float]])
    assert is_accepted(2**63, int)
