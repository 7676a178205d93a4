from pathlib import Path

import pytest

from project.core.errors import ConfigError
from project.core.yaml_files import Text, dump_yaml, merge_all, nest, parse_yaml, read_config


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-2E5", -2e5),
        ("1.5e+3", 1500.0),
        ("e3", "e3"),
        ("3", 3),
        ("-0.5", -0.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("0x10", 16),
        ("12:30:00", "12:30:00"),
        ("010", "010"),
        (".inf", float("inf")),
        ("null", None),
        ("[1, {a: 2}]", [1, {"a": 2}]),
    ],
)
def test_parse(text: str, value: object) -> None:
    assert parse_yaml(text, "here") == value


def test_dump_keeps_order_and_nulls() -> None:
    assert dump_yaml({"b": None, "a": [1]}) == "b: null\na:\n- 1\n"


@pytest.mark.parametrize(
    "value", ["1e-3", "007", "12:30:00", "12", "null", "yes", 1e-5, 1e30, 0.1, True, None, "ä: b", [], {}]
)
def test_what_is_dumped_is_read_again(value: object) -> None:
    assert parse_yaml(dump_yaml({"a": value}), "here") == {"a": value}


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": [1, 2]}, {"a+": [3]}, {"a": [1, 2, 3]}),
        ({"a": None}, {"a+": 3}, {"a": [3]}),
        # Another type drops the old one's arguments; the same type keeps them.
        ({"net": {"type": "UNet", "width": 8}}, {"net": {"type": "MLP"}}, {"net": {"type": "MLP"}}),
        ({"net": {"type": "UNet", "width": 8}}, {"net": {"type": "u_net"}}, {"net": {"type": "u_net", "width": 8}}),
        ({"net": {"type": "UNet", "width": 8}}, {"net": "MLP"}, {"net": "MLP"}),
        ({"net": {"type": "UNet", "width": 8}}, {"net": "UNet"}, {"net": {"type": "UNet", "width": 8}}),
        ({"net": "MLP"}, {"net": {"hidden": 3}}, {"net": {"type": "MLP", "hidden": 3}}),
        # A key without `type` is its own type.
        ({"l1": {"weight": 2}}, {"l1": {"type": "L1", "a": 1}}, {"l1": {"type": "L1", "weight": 2, "a": 1}}),
        ({"l1": {"weight": 2}}, {"l1": {"type": "MSE"}}, {"l1": {"type": "MSE"}}),
        (
            {"model": {"net": 1}},
            {"model": {"type": "SupervisedModule"}},
            {"model": {"type": "SupervisedModule", "net": 1}},
        ),
        ({"model": {"net": 1}}, {"model": {"type": "GAN"}}, {"model": {"type": "GAN"}}),
        ({"a": True}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_merge(base: dict[str, object], over: dict[str, object], merged: dict[str, object]) -> None:
    assert merge_all([base, over]) == merged


def test_merge_leaves_its_arguments_alone() -> None:
    base = {"a": {"b": [1]}}
    merge_all([base, {"a": {"b+": 2, "c": 3}}])
    assert base == {"a": {"b": [1]}}


def test_nest() -> None:
    assert nest("a.b.c", 1) == {"a": {"b": {"c": 1}}}


def test_read_merges_bases_in_order(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/root.yaml").write_text("a: 0\nb: {x: 0, y: 0}\n")
    (tmp_path / "deep/one.yaml").write_text("base: root.yaml\na: 1\nb: {x: 1}\n")
    (tmp_path / "two.yaml").write_text("b: {x: 2}\nc: 2\n")
    (tmp_path / "own.yaml").write_text("base: [deep/one.yaml, two.yaml]\nc: 3\n")
    assert read_config(tmp_path / "own.yaml") == {"a": 1, "b": {"x": 2, "y": 0}, "c": 3}


def test_a_base_may_be_named_twice_without_a_loop(tmp_path: Path) -> None:
    (tmp_path / "root.yaml").write_text("a: 0\n")
    (tmp_path / "one.yaml").write_text("base: root.yaml\n")
    (tmp_path / "own.yaml").write_text("base: [one.yaml, root.yaml]\n")
    assert read_config(tmp_path / "own.yaml") == {"a": 0}


def test_an_empty_file_is_an_empty_tree(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("# nothing\n")
    assert read_config(tmp_path / "own.yaml") == {}


def test_binary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a text file"):
        read_config(tmp_path / "own.yaml")


def test_text_replaces_a_mapping() -> None:
    merged = merge_all([{"clip": {"value": 1}}, nest("clip.value", Text("2"))])
    assert merged == {"clip": {"value": "2"}}
