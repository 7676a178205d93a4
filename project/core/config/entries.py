"""Conversion of config entries between the yaml's short form and the form that jsonargparse types and builds.

`{type: UNet, width: 16}` becomes `{class_path: ..., init_args: {width: 16}}`.
The annotations of constructors tell where entries are expected, so entries nest to any depth.
"""

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import Any

from loguru import logger

from project.core.config.annotations import (
    ContainerOf,
    Parameter,
    Parameters,
    component_field,
    describe_type,
    parameters_of,
    resolve_annotation,
    union_members,
)
from project.core.config.defaults import OMITTED, check_default, plain_default, repeats_default
from project.core.config.trust import check_component, check_plain
from project.core.config.values import to_type
from project.core.config.yaml_files import DEFAULT_TYPES, PlainScalar, Tree
from project.core.errors import ConfigError, did_you_mean, join_names, normalize
from project.registry import Registry

_SINGLE = ""  # the name of a dataset that is given without a name


@dataclass
class PlainValue:
    """A value that is not an entry, and the annotation of its config path."""

    path: str
    value: Any
    annotation: Any
    is_default: bool = False  # the constructor has it, so it needs no check


@dataclass
class EntryConverter:
    """Converter of a config tree to jsonargparse's form (`expand`) and back (`collapse`).

    Args:
        engine_arguments: by base class of components, arguments that the engine gives if the yaml does not.
        plain_values: values found by `expand`, in order.
        defaults: defaults of the arguments that `expand` found, by config path.
    """

    engine_arguments: Mapping[type, Mapping[str, Any]] = field(default_factory=dict)
    plain_values: list[PlainValue] = field(default_factory=list)
    defaults: dict[str, Any] = field(
        default_factory=lambda: {f"{key}.type": name for key, name in DEFAULT_TYPES.items()}
    )

    def expand(self, value: Any, annotation: object, path: str, implied: str | None = None) -> Any:
        """Return a value of the tree as jsonargparse takes it.

        Args:
            value: value in the tree.
            annotation: annotation of the argument.
            path: config path, for messages.
            implied: type of the entry, if its key names it.

        Raises:
            ConfigError: a type or key is unknown, or an argument is missing.
        """
        if isinstance(value, PlainScalar):
            value = to_type(value, annotation)
        accepts_null = type(None) in union_members(annotation)
        if value is None and not accepts_null and resolve_annotation(annotation, {}) is not None:
            value = {}  # such as `progress:` without any settings
        target = resolve_annotation(annotation, value)
        if value is None or target is None:
            check_plain(value, annotation, path)
            value = to_type(value, annotation)
            self.plain_values.append(PlainValue(path, value, annotation))
            return value
        match target:
            case Registry():
                return self._expand_entry(value, target, path, implied)
            case ContainerOf(kind="mapping"):
                return self._expand_mapping(value, target, path)
            case ContainerOf():
                return [self.expand(item, target.item, join_path(path, i)) for i, item in enumerate(value)]
            case _:
                return self._expand_group(value, target, path, implied)

    def expand_arguments(
        self, values: Mapping[str, Any], parameters: Parameters, path: str, given: Collection[str] = ()
    ) -> dict[str, Any]:
        """Return the arguments of a class as jsonargparse takes them, without those that repeat their defaults.

        Args:
            values: the arguments; their names were checked.
            parameters: arguments of the class.
            path: config path of the class.
            given: arguments that the engine would give, so that their defaults do not apply.
        """
        expanded = {}
        for key, value in _fill_groups(values, parameters).items():
            inner, annotation = join_path(path, key), parameters[key].annotation
            if value is None and not _accepts_null(parameters[key]):
                raise ConfigError(f"{inner} is null; it takes {describe_type(annotation)}")
            if not parameters[key].required:
                self.defaults[inner] = parameters[key].default
            typed = to_type(value, annotation)
            if key not in given and not _is_nested(value, annotation) and repeats_default(typed, parameters[key]):
                self.plain_values.append(PlainValue(inner, typed, annotation, is_default=True))
            else:
                expanded[str(key)] = self.expand(value, annotation, inner, DEFAULT_TYPES.get(inner))
        return expanded

    def collapse(self, value: Any, annotation: Any, implied: str | None = None) -> Any:
        """Return the short form of what `expand` returned, with the defaults of all arguments."""
        target = resolve_annotation(annotation, value)
        if value is None or target is None:
            return value
        match target:
            case Registry():
                return self._collapse_entry(value, target, implied)
            case ContainerOf(kind="mapping"):
                if target.is_lazy and _SINGLE in value:
                    return self.collapse(value[_SINGLE], target.item)
                return {key: self.collapse(item, target.item, key) for key, item in value.items()}
            case ContainerOf():
                return [self.collapse(item, target.item) for item in value]
            case _:
                fields, component = parameters_of(target), component_field(target)
                inner = self.collapse(value[component], fields[component].annotation, implied) if component else {}
                rest = {key: field for key, field in fields.items() if key != component}
                return inner | self._collapse_arguments(value, rest)

    def _expand_mapping(self, value: Any, target: ContainerOf, path: str) -> dict[str, Any]:
        value = _as_entry(value, path)
        is_single = any(value.get(key) is not None for key in ("type", "class_path"))
        if target.is_lazy and (is_single or not all(isinstance(item, dict | None) for item in value.values())):
            _check_one_or_several(value, resolve_annotation(target.item, {}), path)
            return {_SINGLE: self.expand(value, target.item, path)}
        if is_single:
            raise ConfigError(f"{path} takes several entries by name: {path}: {{NAME: {{type: ...}}}}")
        for key in (key for key, item in value.items() if item is None):
            logger.info(f"{join_path(path, key)} is null and is left out; `{key}: {{}}` would take its defaults")
        return {
            to_type(key, Any): self.expand(item, target.item, join_path(path, key), key)
            for key, item in value.items()
            if item is not None
        }

    def _expand_entry(
        self, value: Any, registry: Registry, path: str, implied: str | None, reserved: Sequence[str] = ()
    ) -> Tree:
        value = _as_entry(value, path)
        if "class_path" in value:
            value = {"type": value["class_path"]} | (value.get("init_args") or {})
        name = value.get("type", implied)
        if name is None:
            raise ConfigError(f"{path} needs a `type`\n{registry.describe_known()}")
        if not isinstance(name, str):
            raise ConfigError(f"{path}.type is {name!r}; it must be a name\n{registry.describe_known()}")
        check_component(name, registry, path)
        cls = registry.resolve(str(name), path)
        parameters = parameters_of(cls, registry.num_engine_args)
        values = {key: item for key, item in value.items() if key != "type"}
        taken = [key for key in reserved if key in parameters and parameters[key].required]
        if taken:
            raise ConfigError(f"{path} ({cls.__name__}) has an argument '{taken[0]}', a reserved key: rename it")
        given = self.engine_arguments.get(registry.base, {})
        given = {key: item for key, item in given.items() if key in parameters}
        check_names(given | values, parameters, path, cls.__name__, reserved)
        for key, parameter in parameters.items():
            check_default(key, parameter, f"{path} ({cls.__name__})")
        class_path = f"{cls.__module__}.{cls.__qualname__}"
        self.plain_values.append(PlainValue(join_path(path, "type"), registry.short_name(class_path), str))
        init_args = {key: to_type(item, parameters[key].annotation) for key, item in given.items()}
        init_args |= self.expand_arguments(values, parameters, path, given)
        return {"class_path": class_path, "init_args": init_args}

    def _expand_group(self, value: Any, cls: type, path: str, implied: str | None) -> Tree:
        fields, component = parameters_of(cls), component_field(cls)
        if component is None:
            check_names(value, fields, path)
            return self.expand_arguments(value, fields, path)
        value = _as_entry(value, path)
        reserved = {key: item for key, item in value.items() if key in fields and key != component}
        rest = {key: item for key, item in value.items() if key not in reserved}
        reserved_keys = [key for key in fields if key != component]
        registry = resolve_annotation(fields[component].annotation, rest)
        expanded = self._expand_entry(rest, registry, path, implied, reserved_keys)
        return {component: expanded} | self.expand_arguments(reserved, fields, path)

    def _collapse_entry(self, value: Tree, registry: Registry, implied: str | None) -> Tree:
        cls = registry.resolve(value["class_path"], "")
        name = registry.short_name(value["class_path"])
        parameters = parameters_of(cls, registry.num_engine_args)
        given = self.engine_arguments.get(registry.base, {})
        result = {} if implied is not None and normalize(name) == normalize(implied) else {"type": name}
        init_args = value.get("init_args") or {}
        own = {key: item for key, item in parameters.items() if key not in given or init_args.get(key) != given[key]}
        return result | self._collapse_arguments(init_args, own)

    def _collapse_arguments(self, values: Mapping[str, Any], parameters: Parameters) -> Tree:
        """Return the arguments of a class, with their defaults."""
        arguments = {
            key: self.collapse(values[key], parameter.annotation) if key in values else plain_default(parameter)
            for key, parameter in parameters.items()
        }
        return {key: value for key, value in arguments.items() if value is not OMITTED}


def join_path(path: str, key: object) -> str:
    """Return a config path with one more key: `join_path("model", "net")` is `model.net`."""
    return f"{path}.{key}" if path else str(key)


def check_names(values: Any, parameters: Parameters, path: str, owner: str = "", reserved: Sequence[str] = ()) -> None:
    """Raise ConfigError if a key is not an argument, or a required argument is missing."""
    shown = f"{path} ({owner})" if owner else path or "the config"
    _check_mapping(values, shown)
    known = [*parameters, *reserved]
    for key in values:
        if key not in parameters:
            near = did_you_mean(str(key), known)
            raise ConfigError(f"{shown} has no setting '{key}'{near}\nknown: {join_names(known)}")
    missing = [name for name, parameter in parameters.items() if parameter.required and name not in values]
    if missing:
        raise ConfigError(f"{shown} needs {join_names(missing)}\nknown: {join_names(known)}")


def _as_entry(value: object, path: str) -> Any:
    """Return an entry as a mapping; a string means its `type`."""
    value = {"type": value} if isinstance(value, str) else value
    _check_mapping(value, path)
    return value


def _check_one_or_several(value: Mapping[str, Any], registry: Registry, path: str) -> None:
    """Raise ConfigError if several datasets were merged over the single one of a base; merging itself allows it."""
    name = value.get("type")
    if name:
        check_component(name, registry, path)
    parameters = parameters_of(registry.resolve(str(name), path)) if name else {}
    entries = [key for key, item in value.items() if isinstance(item, dict) and "type" in item]
    if parameters and any(key not in parameters for key in entries):
        raise ConfigError(
            f"{path} mixes one dataset with several; start with `type: null` to replace the base's dataset"
        )


def _check_mapping(value: object, path: str) -> None:
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is {to_type(value, Any)!r}; it takes a mapping of settings")


def _fill_groups(values: Mapping[str, Any], parameters: Parameters) -> dict[str, Any]:
    """Return arguments in which a group of settings has the values of the argument's default, such as `Clip(1.0)`."""
    filled = dict(values)
    for key, parameter in parameters.items():
        if isinstance(plain := plain_default(parameter), dict) and is_dataclass(parameter.default):
            value = filled.get(key, {})
            filled[key] = plain | value if isinstance(value, dict) else value
    return filled


def _is_nested(value: object, annotation: Any) -> bool:
    """Return whether a value consists of arguments with defaults of their own."""
    return isinstance(value, dict | list) and resolve_annotation(annotation, value) is not None


def _accepts_null(parameter: Parameter) -> bool:
    """Return whether an argument accepts null; null for a group of settings means its defaults."""
    annotation = parameter.annotation
    is_untyped = annotation is inspect.Parameter.empty or annotation is Any
    default_is_null = not parameter.required and parameter.default is None
    is_group = resolve_annotation(annotation, {}) is not None
    return is_untyped or is_group or default_is_null or type(None) in union_members(annotation)
