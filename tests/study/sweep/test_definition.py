"""What SWEEP.yaml contains becomes a definition with the same values."""

import pytest

from project.core.config.yaml_files import parse_untyped
from project.study.sweep.definition import Choice, Definition, Number, equals, read_definition


def read(text: str, first_seed: int = 0) -> Definition:
    return read_definition(parse_untyped(text, "sweep.yaml"), first_seed)


def test_all_keys_are_read() -> None:
    definition = read(
        "{grid: {lr: [1e-3, 0.01]}, seeds: 2, folds: 5, pruner: median, monitor: val/a, mode: max, name: 'x{trial}'}", 7
    )
    grid = {"lr": ("1e-3", "0.01")}
    expected = Definition(grid, {}, 0, (7, 8), 5, "median", "val/a", "max", "x{trial}")
    assert definition == expected


def test_defaults_are_one_run_per_trial() -> None:
    definition = read("{grid: {lr: [1]}}", 7)
    assert definition == Definition({"lr": ("1",)})


def test_seeds_may_be_a_list() -> None:
    assert read("{grid: {lr: [1]}, seeds: [5, 3]}").seeds == (5, 3)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("[a, 1]", Choice(("a", "1"))),
        ("{choice: [{type: MLP, hidden: 8}, null]}", Choice(({"type": "MLP", "hidden": "8"}, None))),
        ("{float: [0, 1]}", Number(0.0, 1.0)),
        ("{float: [1e-3, 1], log: true}", Number(1e-3, 1.0, is_log=True)),
        ("{float: [0, 1], log: false}", Number(0.0, 1.0)),
        ("{log: [1e-5, 1e-1]}", Number(1e-5, 1e-1, is_log=True)),
        ("{int: [1, 8]}", Number(1, 8, is_int=True)),
        ("{int: [1, 8], log: true}", Number(1, 8, is_log=True, is_int=True)),
    ],
)
def test_entries_of_a_space(entry: str, expected: Choice | Number) -> None:
    assert read(f"{{space: {{x: {entry}}}, trials: 3}}").space == {"x": expected}


def test_condition_has_the_value_of_the_choice_that_it_equals() -> None:
    """What draws the values compares them without knowing yaml."""
    space = read("{space: {n: [1e0, 2], x: {int: [1, 8], when: {n: 1.0}}}, trials: 3}").space
    assert space["x"] == Number(1, 8, is_int=True, when={"n": "1e0"})


def test_equal_values_are_those_of_equal_type_and_number() -> None:
    values = parse_untyped("[1e-3, 0.001, '0.001', true, 1, {a: 1e0}, {a: 1.0}]", "")
    assert [equals(values[0], each) for each in values] == [True, True, False, False, False, False, False]
    assert equals(values[5], values[6])
    assert not equals(values[3], values[4])
