"""Yaml files: reading, writing, and merging several files and options into one tree."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from project.core.config.reference_texts import AppendedText, ReferringText, mark_references, shield
from project.core.config.yaml_size import MAX_LEVELS, check_size
from project.core.errors import ConfigError, did_you_mean, normalize, shorten, show_value
from project.core.installation import describe_installed, find_base

Tree = dict[str, Any]
# The types at these keys unless the yaml says otherwise; at other keys an entry without `type` has the key as its type.
DEFAULT_TYPES = {"model": "SupervisedModule", "data": "DataModule"}


class PlainScalar(str):
    """Text of an unquoted number or boolean; its type depends on the config path at which it is used.

    `name: 010` is the text 010, and `width: 010` is refused, in yaml files and in options alike.
    """


if yaml.__with_libyaml__:
    _Parser: Any = yaml.cyaml.CParser  # type: ignore[attr-defined]

    class _SafeLoader(Composer, _Parser, SafeConstructor, Resolver):  # type: ignore[misc]
        """SafeLoader that parses ten times as fast, with libyaml.

        Values are composed in Python: CSafeLoader, which also composes them in C, crashes if they are nested deeply.
        """

        def __init__(self, stream: str) -> None:
            _Parser.__init__(self, stream)
            for base in (Composer, SafeConstructor, Resolver):
                base.__init__(self)

else:
    _SafeLoader = yaml.SafeLoader  # type: ignore[misc, assignment]


class _Loader(_SafeLoader):
    """Loader that rejects duplicate keys, endless and huge values."""

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        check_size(node)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a name", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"duplicate key '{key.value}'", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > MAX_DIGITS:
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_DIGITS} digits", problem_mark=node.start_mark)
        return int(self.construct_yaml_int(node))


class _PlainLoader(_Loader):
    """Loader that keeps the text of unquoted numbers and booleans, and of all keys: `1:` and `yes:` are names."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag == f"{_TAG}null":
                key.tag = f"{_TAG}str"
        return super().construct_mapping(node, deep)

    def construct_plain(self, node: yaml.ScalarNode) -> Any:
        """Return the text of an unquoted scalar; a quoted one has an explicit tag, such as `!!int "8"`."""
        if not node.style:
            return PlainScalar(node.value)
        return _Loader.yaml_constructors[node.tag](self, node)


class Dumper(yaml.SafeDumper):
    """Dumper that quotes texts which the loader would read as another type."""


_TAG = "tag:yaml.org,2002:"
MAX_DIGITS = 300  # of a whole number; with more, it is no float
# Scalars as in YAML 1.2: 1e-3 is a number, and 12:30:00 and 010 are not, which YAML 1.1 reads as 45000 and 8; a date
# is a text. Other than in YAML 1.2, `yes`, `no`, `on` and `off` are booleans.
_NUMBERS = {
    "int": re.compile(r"^[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+)$"),
    "float": re.compile(
        r"^[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
    ),
}
_REPLACED = {f"{_TAG}{kind}" for kind in (*_NUMBERS, "timestamp", "value")}
for _class in (_Loader, _PlainLoader, Dumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
        for first, resolvers in _class.yaml_implicit_resolvers.items()
    }
    for _kind, _pattern in _NUMBERS.items():
        _class.add_implicit_resolver(f"{_TAG}{_kind}", _pattern, list("-+.0123456789"))
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_integer)
for _kind in (*_NUMBERS, "bool"):
    _PlainLoader.add_constructor(f"{_TAG}{_kind}", _PlainLoader.construct_plain)


def parse_yaml(text: str, source: str) -> Any:
    """Return the value of a yaml text that a program wrote, in which texts that look like numbers are quoted.

    Raises:
        ConfigError: the text has a syntax error; the message names `source` and the line.
    """
    return _load(text, source, _Loader)


def parse_untyped(text: str, source: str) -> Any:
    """Return the value of a yaml text that a person wrote; its numbers and booleans are PlainScalars.

    Texts that may refer to other values are ReferringTexts: see references.py.

    Raises:
        ConfigError: the text has a syntax error; the message names `source` and the line.
    """
    value = _load(shield(text), source, _PlainLoader)
    return mark_references(value) if "${" in text else value


def _load(text: str, source: str, loader: type[_Loader]) -> Any:
    try:
        return yaml.load(str(text), loader)  # libyaml takes no PlainScalar
    except RecursionError as error:
        raise ConfigError(f"{source} is nested too deeply: more than {MAX_LEVELS} levels") from error
    except (ValueError, KeyError, AttributeError) as error:  # of a tag, such as `!!int x`
        raise ConfigError(f"{source}: a tag such as !!int does not fit its value; remove it") from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{_position(error.problem_mark, text, source)}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: {error}") from error


def _position(mark: yaml.Mark | None, text: str, source: str) -> str:
    """Return the place of a mistake; the end of the text is in its last line, not after it."""
    lines = text.splitlines()
    if mark is None or not lines:
        return source
    line, column = (mark.line, mark.column) if mark.line < len(lines) else (len(lines) - 1, len(lines[-1]))
    return f"{source}, line {line + 1}, column {column + 1}"


def dump_yaml(tree: Tree) -> str:
    """Return a tree as yaml text, with its order and its nulls."""
    return yaml.dump(tree, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True)


def read_config(path: Path, reading: tuple[Path, ...] = ()) -> Tree:
    """Read a yaml file, merged over the files of its `base` key.

    Args:
        path: the file. `base` is a path relative to it (else to configs/), or a list of paths, which merge in order.
        reading: files whose bases are being read.

    Raises:
        ConfigError: a file is missing or is not a yaml mapping, or the bases form a cycle.
    """
    try:
        path = path.resolve()
        is_file, is_other = path.is_file(), path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # such as a name that is too long, or links that form a loop
        raise ConfigError(f"config file {shorten(str(path), 200)!r} cannot be read: {error}") from error
    if path in reading:
        raise ConfigError("the bases form a cycle: " + " -> ".join(_display(file) for file in (*reading, path)))
    if not is_file:
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*.yaml")])
        needed = f" (base of {_display(reading[-1])})" if reading else ""
        problem = ("is a directory" if path.is_dir() else "is not a file") if is_other else f"does not exist{near}"
        raise ConfigError(f"config file {_display(path)}{needed} {problem}{describe_installed(path.name)}")
    try:
        tree = parse_untyped(path.read_text(encoding="utf-8"), _display(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{_display(path)} is not a text file in UTF-8") from error
    except OSError as error:
        raise ConfigError(f"config file {_display(path)} cannot be read: {error.strerror}") from error
    if not isinstance(tree, dict | None):
        raise ConfigError(
            f"{_display(path)} must contain a mapping, not a {'list' if isinstance(tree, list) else 'single value'}"
        )
    tree = tree or {}
    bases = tree.pop("base", None) or []
    names = [bases] if isinstance(bases, str) else bases
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ConfigError(
            f"{_display(path)}: base is {show_value(bases)}; it must be a file name or a list of file names"
        )
    return merge_all([*(read_config(find_base(path, name), (*reading, path)) for name in names), tree])


def merge_all(trees: Iterable[Tree]) -> Tree:
    """Return trees merged in order, later ones over earlier ones.

    Mappings merge key by key. An entry of another `type` replaces the arguments of the earlier one. The value of a key
    `NAME+` is appended to the list NAME; numbers as keys are items of an earlier list.
    """
    result: Tree = {}
    for tree in trees:
        result = _merge(result, tree, "")
    return result


def nest(path: str, value: Any) -> Tree:
    """Return a tree with one value: `nest("a.b", 1)` is `{"a": {"b": 1}}`."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value  # type: ignore[no-any-return]


def _merge(base: object, over: object, path: str) -> Any:
    key = path.rpartition(".")[2]
    if isinstance(base, str) and not isinstance(base, PlainScalar) and isinstance(over, dict):
        base = {"type": base}
    if isinstance(base, dict):
        old_type = _type_of(base, DEFAULT_TYPES.get(path, key))
        if isinstance(over, str) and ("type", normalize(over)) == old_type:
            return base
        names_type = isinstance(over, dict) and over.keys() & {"type", "class_path"}
        if names_type and _type_of(over, key) != old_type and not path.startswith("vars"):
            base = {}
    if not isinstance(over, dict):
        return over
    if isinstance(base, list) and over and all(str(name).isdecimal() for name in over):
        return _merge_items(base, over, path)
    result = dict(base) if isinstance(base, dict) else {}
    for name, value in over.items():
        if isinstance(name, str) and name.endswith("+"):
            old = result.get(name[:-1]) or []
            result[name[:-1]] = [*_as_list(old), *_as_list(value)]
        else:
            result[name] = _merge(result.get(name), value, f"{path}.{name}" if path else str(name))
    return result


def _merge_items(base: list[Any], over: Tree, path: str) -> list[Any]:
    """Return a list with some items merged: `callbacks.0.patience` is a setting of the first one."""
    for name in over:
        if name not in map(str, range(len(base))):
            raise ConfigError(f"{path} has no item {name}: it has {len(base)}, counted from 0; `{path}+` appends one")
    return [_merge(item, over.get(str(i), item), f"{path}.{i}") for i, item in enumerate(base)]


def _type_of(entry: Any, implied: str) -> tuple[str, str]:
    """Return the key that names the type of an entry, and the type."""
    key = "class_path" if "class_path" in entry else "type"
    return key, normalize(str(entry.get(key, implied)))


def _as_list(value: object) -> list[Any]:
    value = AppendedText(value) if isinstance(value, ReferringText) else value
    return value if isinstance(value, list) else [value]


def _display(path: Path) -> str:
    """Return a path relative to the working directory, if it is inside."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def flatten(tree: Tree, prefix: str = "") -> dict[str, bool | int | float | str]:
    """Return the values of a tree by config path; `{a: {b: [1, 2]}}` becomes `{"a.b": "[1, 2]"}`."""
    flat: dict[str, bool | int | float | str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat
