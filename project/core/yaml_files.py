"""Yaml in and out, and the tree that several files and the command line make together."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from project.core.errors import ConfigError, did_you_mean, normalize

Tree = dict[str, Any]


class Text(str):
    """A scalar as it was typed on the command line; what type it has is known only where it lands."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"'{key.value}' stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes a text that the loader would read as something else."""


# Numbers as in YAML 1.2: 1e-3 is one, and 12:30:00 and 010 are not what YAML 1.1 makes of them (45000 and 8).
_NUMBERS = {
    "int": re.compile(r"^[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+)$"),
    "float": re.compile(
        r"^[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
    ),
}
for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in _NUMBERS]
        for first, resolvers in _class.yaml_implicit_resolvers.items()
    }
    for _kind, _pattern in _NUMBERS.items():
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _pattern, list("-+.0123456789"))


def parse_yaml(text: str, where: str) -> Any:
    """The value of a yaml text.

    Raises:
        ConfigError: names the line of a syntax error.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}, line {mark.line + 1}, column {mark.column + 1}" if mark else where
        raise ConfigError(f"{place}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: {error}") from error


def dump_yaml(tree: Tree) -> str:
    """The tree as text: order and nulls are kept."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def read_config(path: Path, reading: tuple[Path, ...] = ()) -> Tree:
    """A yaml file merged over the files that its `base` names (relative to it; a list merges in order).

    Raises:
        ConfigError: a file is missing or is not a yaml mapping, or the bases run in a loop.
    """
    path = path.resolve()
    if path in reading:
        raise ConfigError("base runs in a loop: " + " -> ".join(_shown(file) for file in (*reading, path)))
    if not path.is_file():
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*.yaml")])
        needed = f" (base of {_shown(reading[-1])})" if reading else ""
        what = "is a folder" if path.is_dir() else f"does not exist{near}"
        raise ConfigError(f"config file {_shown(path)}{needed} {what}")
    try:
        tree = parse_yaml(path.read_text(encoding="utf-8"), _shown(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{_shown(path)} is not a text file in UTF-8") from error
    if not isinstance(tree, dict | None):
        raise ConfigError(f"{_shown(path)} must hold a mapping, not a {type(tree).__name__}")
    tree = tree or {}
    bases = tree.pop("base", None) or []
    names = [bases] if isinstance(bases, str) else bases
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ConfigError(f"{_shown(path)}: base is {bases!r}; it takes a file's name or a list of them")
    return merge_all([*(read_config(path.parent / name, (*reading, path)) for name in names), tree])


def merge_all(trees: Iterable[Tree]) -> Tree:
    """The trees merged in order, later ones over earlier ones."""
    result: Tree = {}
    for tree in trees:
        result = _merge(result, tree, "")
    return result


def nest(path: str, value: Any) -> Tree:
    """`nest("a.b", 1)` is `{"a": {"b": 1}}`."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value  # type: ignore[no-any-return]


# The types that stand at these keys unless the yaml says otherwise; elsewhere a key without `type` is its own type.
DEFAULT_TYPES = {"model": "SupervisedModule", "data": "DataModule"}


def _merge(base: Any, over: Any, key: str) -> Any:
    """Mappings merge key by key; another `type` drops the old one's arguments; `key+` appends to a list."""
    if isinstance(base, str) and isinstance(over, dict):
        base = {"type": base}
    if isinstance(base, dict):
        old_type = normalize(str(base.get("type", DEFAULT_TYPES.get(key, key))))
        if isinstance(over, str) and normalize(over) == old_type:
            return base
        if isinstance(over, dict) and normalize(str(over.get("type", old_type))) != old_type:
            base = {}
    if not isinstance(over, dict):
        return over
    result = dict(base) if isinstance(base, dict) else {}
    for name, value in over.items():
        if isinstance(name, str) and name.endswith("+"):
            old = result.get(name[:-1]) or []
            result[name[:-1]] = [*_as_list(old), *_as_list(value)]
        else:
            result[name] = _merge(result.get(name), value, str(name))
    return result


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _shown(path: Path) -> str:
    """The path as somebody here would type it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
