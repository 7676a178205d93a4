"""References: values of the yaml and of options that are given by other values, or computed by the training set.

`${path.to.value}` is another value, `${data.num_classes}` an attribute of the training set, and `${env:NAME,default}`
an environment variable. A reference that is the whole text keeps the type of the value. They are resolved after all
files and options are merged, and before values get the types of their annotations. What a checkpoint saves is resolved.
"""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import yaml

from project.core.config.annotations import parameters_of
from project.core.config.entry_checks import join_path
from project.core.config.other_tools import explain_name, see_page
from project.core.config.paths import expand_result, is_path_key
from project.core.config.reference_texts import AppendedText, Reference, ReferringText, split_text
from project.core.config.trust import SavedText, check_component
from project.core.config.yaml_files import DEFAULT_TYPES, PlainScalar, Tree, parse_untyped
from project.core.errors import ConfigError, did_you_mean, join_names, located, show_value
from project.registry import Registry

BuildTrainingSet = Callable[[Tree], object]
_TRAINING_SET = "data.train"
_ENVIRONMENT = "env:"
_RESOLVER = re.compile(r"(oc\.\w+|hydra|now|eval):")  # of OmegaConf and Hydra


class ReferenceResolver:
    """Resolver of the references in a merged tree.

    Args:
        tree: the tree, whose ReferringTexts contain the references.
        build_training_set: builds the training set of a tree with the keys `data` and, if it is set, `seed`; called if
            a reference needs it. Without it, such a reference is a mistake.

    Attributes:
        texts: the texts with references that were resolved, by config path.

    Example::

        ReferenceResolver(parse_untyped("{seed: 3, name: 'run_${seed}'}", "here")).resolve()  # name is run_3
    """

    def __init__(self, tree: Tree, build_training_set: BuildTrainingSet | None = None) -> None:
        self.tree, self.build_training_set = tree, build_training_set
        self.texts: dict[str, str] = {}
        self._chain: list[str] = []  # config paths whose values are being resolved
        self._training_set: object = None

    def resolve(self, *keys: str) -> Tree:
        """Return the values of some keys of the tree, or of all, without references.

        Raises:
            ConfigError: a reference is unknown, means a whole entry, or refers to itself.
        """
        return {key: self._resolve(item, str(key)) for key, item in self.tree.items() if not keys or key in keys}

    def resolve_known(self, tree: Tree) -> Tree:
        """Return a tree with the values of this one; references with a mistake, or to the training set, are left."""
        return {key: self._resolve_known(item, str(key)) for key, item in tree.items()}

    def _resolve_known(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {key: self._resolve_known(item, join_path(path, key)) for key, item in value.items()}
        try:
            return self._resolve(value, path)
        except ConfigError:  # reported when the value is needed
            return value

    def _resolve(self, value: Any, path: str) -> Any:
        if isinstance(value, ReferringText):
            with self._entered(path):
                resolved = self._evaluate(value, path)
            return expand_result(resolved, path) if is_path_key(path.rpartition(".")[2]) else resolved
        if isinstance(value, dict):
            if referring := next((key for key in value if isinstance(key, ReferringText)), None):
                raise ConfigError(f"{path or 'the config'} has the key '{referring}'; keys contain no references")
            return {key: self._resolve(item, join_path(path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return self._resolve_list(value, path)
        return value

    def _resolve_list(self, items: list[Any], path: str) -> list[Any]:
        result = []
        for number, item in enumerate(items):
            resolved = self._resolve(item, join_path(path, number))
            result += resolved if isinstance(item, AppendedText) and isinstance(resolved, list) else [resolved]
        return result

    def _evaluate(self, text: str, path: str) -> Any:
        """Return the value of a text at a config path."""
        parts = split_text(text, path)
        values = [self._find(part, path) if isinstance(part, Reference) else part for part in parts]
        if any(isinstance(part, Reference) for part in parts):
            self.texts[path] = str(text)
        if len(parts) == 1 and isinstance(parts[0], Reference):
            return values[0]
        for part, value in zip(parts, values, strict=True):
            if not isinstance(value, str | None):
                kind = "a list" if isinstance(value, list) else f"of type {type(value).__name__}"
                raise ConfigError(
                    f"{path} is {show_value(str(text))}, but {_show(part)} is {kind}, which can only be the whole value"
                )
        joined = "".join("null" if value is None else value for value in values)
        saved = next((type(value) for value in values if isinstance(value, SavedText)), None)
        return saved(joined) if saved else _as_scalar(joined)

    def _find(self, reference: Reference, path: str) -> Any:
        """Return the value that a reference at a config path means."""
        if reference.startswith(_ENVIRONMENT):
            return self._read_variable(reference, path)
        node: Any = self.tree
        where, keys = "", reference.split(".")
        for number, key in enumerate(keys):
            node = self._resolve(node, where) if isinstance(node, ReferringText) else node
            children = _children(node)
            if key not in children:
                is_last = number == len(keys) - 1
                if is_last and (where == _TRAINING_SET or (where == "data" and not self._is_argument_of_data(key))):
                    return self._compute(key, reference, path)
                raise _unknown(reference, path, key, where, children)
            node, where = children[key], join_path(where, key)
        if isinstance(node, dict):
            example = next((key for key, item in node.items() if not isinstance(item, dict | list)), "NAME")
            raise ConfigError(
                f"{path} refers to {_show(reference)}, which is a whole entry; "
                f"refer to its values one by one, such as ${{{join_path(reference, example)}}}"
            )
        return _as_untyped(self._resolve(node, where))

    def _read_variable(self, reference: Reference, path: str) -> Any:
        name, comma, default = map(str.strip, reference.removeprefix(_ENVIRONMENT).partition(","))
        if not name:
            raise ConfigError(f"{path} refers to {_show(reference)}, which names no environment variable")
        value = os.environ.get(name)
        if value is not None:
            return _as_scalar(value)
        if comma:
            return self._evaluate(default, path)
        near = did_you_mean(name, os.environ)
        raise ConfigError(
            f"{path} refers to {_show(reference)}, but the environment variable {name} is not set{near}\n"
            f"A default may follow: ${{{_ENVIRONMENT}{name},DEFAULT}}"
        )

    def _compute(self, name: str, reference: Reference, path: str) -> Any:
        """Return an attribute of the training set."""
        refers = f"{path} refers to {_show(reference)}"
        with self._entered(reference):
            training_set = self._find_training_set(refers)
        with located(reference):
            try:
                value = getattr(training_set, name)
            except AttributeError as error:
                known = [*_children(self.tree["data"]), *(each for each in dir(training_set) if each[0] != "_")]
                near = "" if name in known else did_you_mean(name, known)
                raise ConfigError(f"{refers}, which {_TRAINING_SET} does not have: {error}{near}") from error
        value = value.tolist() if hasattr(value, "tolist") else value  # of a tensor, of numpy
        value = list(value) if isinstance(value, tuple) else value
        if not _is_plain(value):
            raise ConfigError(
                f"{refers}, but this attribute of {_TRAINING_SET} is of type {type(value).__name__}; "
                "it must be a number, text, boolean, or a list of these"
            )
        return _as_untyped(value)

    def _find_training_set(self, refers: str) -> object:
        data = self.tree["data"]
        if self.build_training_set is None:
            raise ConfigError(f"{refers}, which only the training set computes")
        if self._training_set is None:
            keys = [key for key in ("train", "data_dir") if key in _children(data)]
            used = {key: self._resolve(data[key], f"data.{key}") for key in keys}
            if used.get("train") is None:
                raise ConfigError(f"{refers}, which the training set would compute, but {_TRAINING_SET} is not set")
            self._training_set = self.build_training_set({"data": used} | self.resolve("seed"))
        return self._training_set

    def _is_argument_of_data(self, key: str) -> bool:
        name = self._resolve(_children(self.tree["data"]).get("type", DEFAULT_TYPES["data"]), "data.type")
        registry = Registry.by_base[pl.LightningDataModule]
        check_component(name, registry, "data")
        return key in parameters_of(registry.resolve(str(name), "data"))

    @contextmanager
    def _entered(self, path: str) -> Iterator[None]:
        """Raise ConfigError if the value at a config path refers to itself in the `with` block."""
        if path in self._chain:
            cycle = [*self._chain[self._chain.index(path) :], path]
            raise ConfigError(f"the references form a cycle: {' -> '.join(cycle)}; set one of them to a value")
        self._chain.append(path)
        try:
            yield
        finally:
            self._chain.pop()


def show_references(text: str, references: Mapping[str, str]) -> str:
    """Return a configuration as yaml text, with the references that gave its values as comments.

    Args:
        text: the configuration.
        references: texts with references, by config path.
    """
    lines = text.splitlines(keepends=True)
    root = yaml.compose(text, yaml.SafeLoader)
    for path, reference in references.items():
        key: yaml.Node | None = None
        node: yaml.Node | None = root
        for name in path.split("."):
            key, node = _find_child(key, node, name)
        if key is not None and node is not None:
            line = node.end_mark.line if isinstance(node, yaml.ScalarNode) else key.start_mark.line
            lines[line] = f"{lines[line].rstrip()}  # {' '.join(reference.split())}\n"
    return "".join(lines)


def _find_child(key: yaml.Node | None, node: yaml.Node | None, name: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Return the key and the value of a name in a node; an item of a list has the key of the list."""
    if isinstance(node, yaml.MappingNode):
        return next((pair for pair in node.value if pair[0].value == name), (None, None))
    if isinstance(node, yaml.SequenceNode) and name.isdecimal() and int(name) < len(node.value):
        return node.value[int(name)], node.value[int(name)]
    return None, None


def _unknown(reference: Reference, path: str, key: str, where: str, children: Mapping[str, Any]) -> ConfigError:
    refers = f"{path} refers to {_show(reference)}"
    if _RESOLVER.match(reference):
        variable = f"an environment variable is ${{{_ENVIRONMENT}NAME,default}}"
        return ConfigError(f"{refers}, a resolver of another tool; {variable}\n{see_page('hydra_template')}")
    if not re.fullmatch(r"[^\s.]+(\.[^\s.]+)*", reference):
        return ConfigError(f"{refers}, which is no config path; a literal ${{ is $${{")
    if reference in os.environ:
        return ConfigError(f"{refers}, which is no setting; the environment variable is ${{{_ENVIRONMENT}{reference}}}")
    owner = where or "the config"
    if not where and (explained := explain_name(key)):
        return ConfigError(f"{refers}, but {owner} has no '{key}'{explained}")
    near = did_you_mean(key, children)
    known = f"\nknown: {join_names(children)}" if children else ""
    return ConfigError(f"{refers}, but {owner} has no '{key}' in the yaml files and options{near}{known}")


def _show(reference: str) -> str:
    return f"${{{reference}}}"


def _children(node: Any) -> Mapping[str, Any]:
    if isinstance(node, dict):
        return {str(key): item for key, item in node.items()}
    return {str(number): item for number, item in enumerate(node)} if isinstance(node, list) else {}


def _as_scalar(text: str) -> str | None:
    """Return a text as yaml reads it where it is not quoted, if that is a number, a boolean or null."""
    try:
        value = parse_untyped(text, "")
    except ConfigError:
        return text
    return value if (isinstance(value, PlainScalar) and value == text) or text == "null" else text


def _as_untyped(value: Any) -> Any:
    """Return a number or boolean as read from a yaml: its type becomes that of the setting that refers to it."""
    if isinstance(value, bool):
        return PlainScalar(str(value).lower())
    if isinstance(value, int | float):
        return PlainScalar(repr(value) if math.isfinite(value) else re.sub("(inf|nan)", r".\1", repr(value)))
    return value


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float | str) or (isinstance(value, list) and all(map(_is_plain, value)))
