"""Which settings are columns, and what their headings are."""

from pathlib import Path
from typing import Any

import pytest

from project.core.errors import ConfigError
from project.study.columns import differing_settings, find_column, find_columns, short_names
from project.study.runs import RunRow
from project.study.saved_config import flatten_settings


def rows(*trees: dict[str, Any]) -> list[RunRow]:
    return [RunRow(Path(f"run{i}"), settings=flatten_settings(tree)) for i, tree in enumerate(trees)]


A, B = {"type": "A"}, {"type": "B"}


@pytest.mark.parametrize(
    ("trees", "expected"),
    [
        ([{"seed": 0, "lr": 1}, {"seed": 1, "lr": 1}], ["seed"]),
        ([{"lr": 1, "b": 2}, {"lr": 2, "b": 2}, {"lr": 1, "b": 3}], ["lr", "b"]),
        ([{"lr": 1}, {"lr": 1.0}], ["lr"]),  # val_check_interval: 1 is a batch, and 1.0 an epoch
        ([{"lr": 1}, {"lr": True}], ["lr"]),
        ([{"lr": 1}, {"lr": "1"}], ["lr"]),
        ([{"a": [1, 2]}, {"a": [1, 2]}], []),
        ([{"a": [1, 2]}, {"a": [1, True]}, {"a": [1, 2]}], ["a"]),
        ([{"a": [1]}, {"a": [True]}], ["a"]),
        ([{"a": float("nan")}, {"a": float("nan")}], []),
        ([{"a": None}, {}], ["a"]),
        ([{"lr": 1}], []),
    ],
)
def test_settings_that_differ_are_columns(trees: list[dict[str, Any]], expected: list[str]) -> None:
    assert differing_settings(rows(*trees)) == expected


def test_settings_of_the_directory_are_not_compared() -> None:
    """Where a run is, what it prints, and its own paths change no number; another run's path does."""
    trees = [
        {
            **{"name": name, "root": "x", "log_level": level, "timeout": 1.0 * number, "replace": bool(number)},
            **{"logger": {"save_dir": f"x/{name}/logs"}, "list": [{"dir": f"x/{name}"}]},
        }
        for number, (name, level) in enumerate((("a", "INFO"), ("b", "DEBUG")))
    ]
    assert differing_settings(rows(*trees)) == []
    teachers = [tree | {"pretrained": {"path": f"x/teacher{i}/best.ckpt"}} for i, tree in enumerate(trees)]
    assert differing_settings(rows(*teachers)) == ["pretrained.path"]


@pytest.mark.parametrize(
    ("trees", "expected"),
    [
        ([{"net": A | {"width": 8}}, {"net": B | {"features": 3}}], ["net.type"]),
        ([{"net": A | {"width": 8}}, {"net": B | {"width": 16}}], ["net.type"]),
        (
            [{"net": A | {"width": 8}}, {"net": B | {"width": 16}}, {"net": A | {"width": 4}}],
            ["net.type", "net.width"],
        ),
        ([{"net": A | {"block": A}}, {"net": B}], ["net.type"]),
        ([{"net": A | {"block": A}}, {"net": B}, {"net": A | {"block": B}}], ["net.type", "net.block.type"]),
        ([{"visual": None}, {"visual": A | {"cell": 3}}], ["visual.type"]),
        (
            [{"logger": {"class_path": "x.A", "init_args": {"a": 1}}}, {"logger": {"class_path": "x.B"}}],
            ["logger.class_path"],
        ),
        (
            [{"model": A | {"optimizer": {"lr": 1}}}, {"model": B | {"optimizer": {"lr": 2}}}],
            ["model.type", "model.optimizer.lr"],
        ),
    ],
)
def test_a_setting_that_the_type_implies_is_no_column(trees: list[dict[str, Any]], expected: list[str]) -> None:
    assert differing_settings(rows(*trees)) == expected


def test_a_constant_replaces_the_settings_that_have_its_value() -> None:
    """`vars.width` says what net.width and head.width say; one that differs otherwise stays."""
    trees = [{"vars": {"width": w}, "net": {"width": w, "depth": 2 * w}, "seed": w % 2} for w in (1, 2, 3)]
    assert differing_settings(rows(*trees)) == ["vars.width", "net.depth", "seed"]
    trees = [{"vars": None, "lr": 1}, {"vars": {"k": 3}, "lr": 2}]
    assert differing_settings(rows(*trees)) == ["lr", "vars.k"]


def test_headings_are_the_shortest_ends_that_no_other_has() -> None:
    keys = ["seed", "model.optimizer.lr", "model.net.width", "model.head.width", "model.net.type", "a.net.type", "type"]
    assert short_names(keys) == {
        **{
            "seed": "seed",
            "model.optimizer.lr": "lr",
            "model.net.width": "net.width",
            "model.head.width": "head.width",
        },
        **{"model.net.type": "model.net.type", "a.net.type": "a.net.type", "type": "type"},
    }
    assert short_names(["model.net.type", "lr", "a.lr"]) == {"model.net.type": "net.type", "lr": "lr", "a.lr": "a.lr"}


COLUMNS = ["model.optimizer.lr", "best val/accuracy", "last val/accuracy", "test/accuracy", "seed"]


def test_columns_are_found_by_the_ends_of_their_names() -> None:
    assert find_column("lr", COLUMNS, "--by") == "model.optimizer.lr"
    assert find_columns("val/accuracy", COLUMNS, "--metrics") == ["best val/accuracy", "last val/accuracy"]
    assert find_columns("accuracy", COLUMNS, "--metrics") == COLUMNS[1:4]
    assert find_columns("seed", ["seed", "data.seed"], "--by") == ["seed"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acc", "--by: there is no 'acc'"),
        ("optimiser.lr", "did you mean 'optimizer.lr'?"),
        ("val/acuracy", "did you mean 'val/accuracy'?"),
        ("val/accuracy", "may be best val/accuracy or last val/accuracy"),
        ("r", "known: model.optimizer.lr, best val/accuracy"),
    ],
)
def test_an_unknown_column_is_told(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        find_column(name, COLUMNS, "--by")
    assert message in str(error.value)
