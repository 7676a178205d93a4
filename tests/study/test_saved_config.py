"""Fast reading of config.yaml gives what the loader gives."""

import random
from pathlib import Path
from typing import Any

import pytest

from project.core.config.yaml_files import dump_yaml, parse_yaml
from project.core.errors import ConfigError
from project.study import saved_config
from project.study.saved_config import flatten_settings, read_settings

CONFIGS = Path(__file__).parent.parent.parent / "configs"
TEXTS = [
    *("", " ", "010", "1e3", "1e-3", "0x1F", "1_000", "12:30:00", "2024-01-01", "yes", "null", "~", "true", "-", "- a"),
    *(
        "a: b",
        "a #b",
        "#a",
        "'",
        '"',
        "a\nb",
        "a\n\n  b\n",
        "\n",
        "  indented",
        "end ",
        "tab\there",
        "${vars.x}",
        "$${x}",
    ),
    *("*alias", "&anchor", "!tag", "%x", "@x", "`x", "{a: 1}", "[1, 2]", "|", ">", "? a", "---", "...", "=", "<<"),
    *(
        "größe",
        "日本語",
        "\U0001f600",
        "\x85",
        "\u2028",
        "\ufeff",
        "\x07",
        "word " * 60,
        "x" * 300,
        "a:",
        ":a",
        "key:\n  a",
    ),
]
VALUES: list[Any] = [
    *(None, True, False, 0, 10, -3, 1e3, 1e-8, 1e300, float("inf"), {}, [], [[]], [{}], {"a": {}}, {"a": None}),
    *([1, [2, {"a": [3]}]], [{"type": "A", "b": [1]}, None], [{"a": {"b": "x\ny"}}], {"0": {"010": 1}}),
]


def read(text: str) -> dict[str, Any]:
    saved_config._read_block.cache_clear()
    return read_settings(text)


def assert_same(text: str) -> None:
    """Compare values and their types."""
    expected = flatten_settings(parse_yaml(text, "config.yaml"))
    for _ in range(2):  # parsed, and from the cache
        assert repr(read_settings(text)) == repr(expected)


@pytest.mark.parametrize("file", sorted(CONFIGS.rglob("*.yaml")), ids=lambda file: str(file.relative_to(CONFIGS)))
def test_configs_of_the_repository_are_read_alike(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert_same(text)  # written by hand
    assert_same(dump_yaml(parse_yaml(text, "config.yaml")))


def test_any_value_at_any_level_is_read_alike() -> None:
    for value in (*TEXTS, *VALUES):
        inner = {"x": value, "c": {"d": [value], "e": {"f": {"g": {"h": value}}}}}
        assert_same(dump_yaml({"before": 1, "a": value, "b": inner, "last": 2}))


def test_any_name_is_read_alike() -> None:
    for key in (*TEXTS, "model.net", "a/b", "a-b", "type", "1", "Ü"):
        assert_same(dump_yaml({"z": 1, key: {"x": {key: 1}}, "b": {key: {"x": 2}, "y": [{key: 3}]}}))


def test_random_trees_are_read_alike() -> None:
    """Values, names and levels in any combination, read after another in one cache."""
    generator = random.Random(0)

    def value(level: int) -> Any:
        kind = generator.random()
        if level and kind < 0.4:
            return {generator.choice(TEXTS[:30] + list("abc")): value(level - 1) for _ in range(generator.randrange(4))}
        if level and kind < 0.5:
            return [value(level - 1) for _ in range(generator.randrange(3))]
        return generator.choice([*TEXTS, *VALUES])

    for _ in range(60):
        assert_same(dump_yaml({"a": value(4), "b": value(4), "c": value(4)}))


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {b: 1}\nc: *x\n",
        "a: &x\n  b: 1\nc:\n  d: *x\n",
        "a: 1 # comment\n# b\nc: 2\n",
        "a:\n    b: 1\n    c:\n        d: 2\n",
        "a:\n- 1\n-  2\nb: 3\n",
        "{a: 1, b: {c: 2}}\n",
        "a: [1,\n2]\nb: 3\n",
        "a: 'x\n  y'\nb: |\n  c: 1\n\n  d\n\ne: |+\n  f\n\ng: >-\n  h\n  i\n",
        "a:\n  b: |2\n      x\n    y\n",
        "a: {b: 1,\n  c: 2}\n",
        "? a\n: 1\nb: 2\n",
        "---\na: 1\n",
        "a: 1\n...\n",
        "a: 1\r\nb:\r\n  c: 2\r\n",
        "a: 1",
        "a: |\n  x",
        "a:   \n  b: 1\n",
        "a:\n\n  b: 1\n\n\nc: 2\n\n",
        "yes: 1\nno:\n  1: 2\n",
        "a: x\n  y\n  z\n",
        "a:\n  b\nc: 1\n",
        "a:\n  'b\n\n  c: d'\ne: 1\n",
    ],
)
def test_texts_of_a_person_are_read_alike(text: str) -> None:
    assert_same(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "\n",
            "a",
            "- a\n",
            "a: 1\na: 2\n",
            "a:\n  b: 1\n  b: 2\n",
            "a: 1\n'a': 2\n",
            "a: *x\n",
            "a: [1\nb: 2\n",
            "a: 'x\nb: 1\n",
        ),
        *("a: 1\n---\nb: 2\n", "a:\n  b: 1\n c: 2\n", "a: 1\n  b: 2\n", "\x00", "a: !!int x\n", "a: @\n"),
        pytest.param("".join(f"{'  ' * level}a:\n" for level in range(300)), id="300 levels"),
    ],
)
def test_what_the_loader_refuses_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        read(text)


def test_every_cut_of_a_config_is_read_alike_or_refused() -> None:
    """A file that was written to half, which copying may leave."""
    text = dump_yaml(parse_yaml((CONFIGS / "default.yaml").read_text(encoding="utf-8"), "config.yaml"))
    for end in range(0, len(text), 11):
        try:
            expected = parse_yaml(text[:end], "config.yaml")
        except ConfigError:
            expected = None
        if isinstance(expected, dict):
            assert read_settings(text[:end]) == flatten_settings(expected)
        else:
            with pytest.raises(ConfigError):
                read_settings(text[:end])


def test_a_part_that_two_texts_share_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two configs that differ in one value costs the parsing of that value."""
    parsed: list[str] = []

    def parse(text: str, source: str) -> Any:
        parsed.append(text)
        return parse_yaml(text, source)

    monkeypatch.setattr(saved_config, "parse_yaml", parse)
    text = "model:\n  optimizer:\n    lr: 1\n    eps: 2\ndata:\n  size: 3\n"
    read(text)
    del parsed[:]
    assert read_settings(text.replace("lr: 1", "lr: 5"))["model.optimizer.lr"] == 5
    assert set(parsed) == {"model", "optimizer", "lr: 5\n"}


@pytest.mark.parametrize("text", ["a: " + "9" * 301 + "\n", "a: 0x" + "f" * 400 + "\n", "? " + "a." * 200 + "\n: 1\n"])
def test_values_that_cannot_be_shown_are_refused(text: str) -> None:
    """Numbers that are no float, and paths whose parts would fill the memory."""
    with pytest.raises(ConfigError, match=r"more than [13]00"):
        read_settings(text)
