"""Yaml files are read, merged and written without changing values."""

from pathlib import Path

import pytest

from project.core.config import yaml_size
from project.core.config.yaml_files import (
    PlainScalar,
    Tree,
    dump_yaml,
    flatten,
    merge_all,
    nest,
    parse_untyped,
    parse_yaml,
    read_config,
)
from project.core.errors import ConfigError
from tests.conftest import CONFIGS


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
def test_numbers_are_parsed_as_in_yaml_1_2(text: str, value: object) -> None:
    parsed = parse_yaml(text, "here")
    assert parsed == value
    assert type(parsed) is type(value)


def test_dump_keeps_order_and_nulls() -> None:
    assert dump_yaml({"b": None, "a": [1]}) == "b: null\na:\n- 1\n"


@pytest.mark.parametrize(
    "value", ["1e-3", "007", "12:30:00", "12", "null", "yes", 1e-5, 1e30, 0.1, True, None, "ä: b", [], {}]
)
def test_dumped_value_is_parsed_as_the_same_value(value: object) -> None:
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
        # Numbers are items of a list.
        ({"a": [{"b": 1, "c": 2}, 3]}, {"a": {"0": {"b": 4}}}, {"a": [{"b": 4, "c": 2}, 3]}),
        ({"a": [1, "B"]}, {"a": {"1": {"c": 2}, "0": 5}}, {"a": [5, {"type": "B", "c": 2}]}),
        # Another type removes the old arguments; the same type keeps them.
        ({"net": {"type": "UNet", "width": 8}}, {"net": {"type": "MLP"}}, {"net": {"type": "MLP"}}),
        ({"net": {"type": "UNet", "width": 8}}, {"net": {"type": "u_net"}}, {"net": {"type": "u_net", "width": 8}}),
        ({"net": {"type": "UNet", "width": 8}}, {"net": "MLP"}, {"net": "MLP"}),
        ({"net": {"type": "UNet", "width": 8}}, {"net": "UNet"}, {"net": {"type": "UNet", "width": 8}}),
        ({"net": "MLP"}, {"net": {"hidden": 3}}, {"net": {"type": "MLP", "hidden": 3}}),
        # The type of an entry without `type` is its key.
        ({"l1": {"weight": 2}}, {"l1": {"type": "L1", "a": 1}}, {"l1": {"type": "L1", "weight": 2, "a": 1}}),
        ({"l1": {"weight": 2}}, {"l1": {"type": "MSE"}}, {"l1": {"type": "MSE"}}),
        # At `model` and `data` it is the default type.
        (
            {"model": {"net": 1}},
            {"model": {"type": "SupervisedModule"}},
            {"model": {"type": "SupervisedModule", "net": 1}},
        ),
        ({"model": {"net": 1}}, {"model": {"type": "GAN"}}, {"model": {"type": "GAN"}}),
        ({"a": True}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_merge(base: Tree, over: Tree, merged: Tree) -> None:
    assert merge_all([base, over]) == merged


def test_merge_of_an_item_that_a_list_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^a.b has no item 1: it has 1, counted from 0; `a.b\+` appends one$"):
        merge_all([{"a": {"b": [0]}}, {"a": {"b": {"1": 3}}}])


def test_merge_does_not_change_its_arguments() -> None:
    base = {"a": {"b": [1]}}
    merge_all([base, {"a": {"b+": 2, "c": 3}}])
    assert base == {"a": {"b": [1]}}


def test_merge_of_nothing_is_empty() -> None:
    assert merge_all([]) == {}


def test_nest() -> None:
    assert nest("a.b.c", 1) == {"a": {"b": {"c": 1}}}


def test_bases_are_merged_in_order(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/root.yaml").write_text("a: 0\nb: {x: 0, y: 0}\n")
    (tmp_path / "deep/one.yaml").write_text("base: root.yaml\na: 1\nb: {x: 1}\n")
    (tmp_path / "two.yaml").write_text("b: {x: 2}\nc: 2\n")
    (tmp_path / "own.yaml").write_text("base: [deep/one.yaml, two.yaml]\nc: 3\n")
    assert read_config(tmp_path / "own.yaml") == {"a": "1", "b": {"x": "2", "y": "0"}, "c": "3"}


def test_base_used_twice_is_not_a_cycle(tmp_path: Path) -> None:
    (tmp_path / "root.yaml").write_text("a: 0\n")
    (tmp_path / "one.yaml").write_text("base: root.yaml\n")
    (tmp_path / "own.yaml").write_text("base: [one.yaml, root.yaml]\n")
    assert read_config(tmp_path / "own.yaml") == {"a": "0"}


def test_empty_file_is_an_empty_tree(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("# nothing\n")
    assert read_config(tmp_path / "own.yaml") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "own.yaml is not a text file in UTF-8"),
        (b"a: [1", "own.yaml, line 1, column 6: did not find expected ',' or ']'"),
        (b"base: [{a: b}]", r"own.yaml: base is \[{'a': 'b'}\]; it must be a file name or a list of file names"),
    ],
)
def test_file_with_a_mistake_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / "own.yaml")


def test_directory_is_not_a_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    with pytest.raises(ConfigError, match=r"^config file configs is a directory$"):
        read_config(Path("configs"))


def test_command_line_text_is_merged_as_a_scalar() -> None:
    merged = merge_all([{"clip": {"value": 1}}, nest("clip.value", PlainScalar("2"))])
    assert merged == {"clip": {"value": "2"}}
    assert isinstance(merged["clip"]["value"], PlainScalar)


def test_tree_is_flattened_to_scalars_and_texts() -> None:
    assert flatten({"a": {"b": [1, 2], "c": None}, "d": True}) == {"a.b": "[1, 2]", "a.c": "None", "d": True}


@pytest.mark.parametrize("key", ["1", "1.5", "yes", "null", "~", "0x10", "2020-01-01", "'1'", ".nan"])
def test_key_is_a_text(key: str) -> None:
    """Names such as those of losses are texts, whatever an unquoted one looks like."""
    (loaded,) = parse_untyped(f"{{{key}: 3}}", "here")
    assert loaded == key.strip("'")
    assert isinstance(loaded, str)


def bomb(levels: int) -> str:
    """Return a yaml text of a value that grows tenfold with each level."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bomb(5), "here, line 1, column 1: aliases repeat more than 100000 values"),
        (bomb(200), "here is nested too deeply: more than 100 levels"),
        (bomb(90), "here, line 1, column 1: aliases repeat more than 100000 values"),
        ("a: &a [*a]", "here, line 1, column 4: the value contains itself"),
        ("a: &a {b: {c: *a}}", "here, line 1, column 4: the value contains itself"),
        ("a: &a {<<: *a}", "here, line 1, column 4: the value contains itself"),
        ("? &a [*a]\n: 1", "here, line 1, column 3: the value contains itself"),
        ("[" * 600, "here is nested too deeply: more than 100 levels"),
        ("[" * 101 + "]" * 101, "here is nested too deeply: more than 100 levels"),
        ("{[1]: 2}", "here, line 1, column 2: a key must be a name"),
        ("{1: a, '1': b}", "here, line 1, column 8: duplicate key '1'"),
        ("!!float 'x'", "here: a tag such as !!int does not fit its value; remove it"),
        ("!!timestamp x", "here: a tag such as !!int does not fit its value; remove it"),
        ("!!map x", "here, line 1, column 1: expected a mapping node, but found scalar"),
    ],
)
def test_value_that_no_run_needs_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_untyped(text, "here")
    assert str(caught.value) == message


def test_aliases_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a long list needs none."""
    monkeypatch.setattr(yaml_size, "_MAX_REPEATED", 10)
    assert parse_untyped("{a: &a [x, y], b: *a, c: {<<: {d: z}}}", "here") == {
        "a": ["x", "y"],
        "b": ["x", "y"],
        "c": {"d": "z"},
    }
    assert len(parse_yaml(str(list(range(100))), "here")) == 100


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "folder", "folder/x.yaml"])
def test_file_that_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match=r"^config file .* (cannot be read: |is a directory$|does not exist$)"):
        read_config(tmp_path / name)


def test_base_that_is_not_beside_the_file_is_that_of_the_project(tmp_path: Path) -> None:
    """A yaml outside of configs/ may have its bases; one beside it wins."""
    file = tmp_path / "own.yaml"
    file.write_text("base: [default.yaml, presets/cpu.yaml]\nname: own\n", encoding="utf-8")
    expected = merge_all([read_config(CONFIGS / "default.yaml"), read_config(CONFIGS / "presets/cpu.yaml")])
    assert read_config(file) == expected | {"name": "own"}
    (tmp_path / "default.yaml").write_text("seed: 5\n", encoding="utf-8")
    file.write_text("base: default.yaml\n", encoding="utf-8")
    assert read_config(file) == {"seed": "5"}
