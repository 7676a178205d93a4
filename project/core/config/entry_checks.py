"""Checks of config entries: their form, and the names of their keys."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from project.core.config.annotations import (
    Parameter,
    Parameters,
    component_field,
    describe_type,
    parameters_of,
    resolve_annotation,
    union_members,
)
from project.core.config.construction import Component
from project.core.config.other_tools import ENTRY_KEYS, explain_name
from project.core.config.trust import check_component
from project.core.config.values import is_accepted, to_type
from project.core.errors import ConfigError, did_you_mean, join_names, show_value

INIT = "init"  # key of a term for arguments of its constructor, also those that its reserved keys hide


def join_path(path: str, key: object) -> str:
    """Return a config path with one more key: `join_path("model", "net")` is `model.net`."""
    return f"{path}.{key}" if path else str(key)


def check_names(
    values: Any,
    parameters: Parameters,
    path: str,
    owner: str = "",
    reserved: Sequence[str] = (),
) -> None:
    """Raise ConfigError if a key is not an argument, or a required argument is missing."""
    shown = f"{path} ({owner})" if owner else path or "the config"
    check_mapping(values, shown)
    known = list(dict.fromkeys([*parameters, *reserved]))
    for key in values:
        if key not in parameters:
            others = [join_path(path, other) for other in values]
            name = str(key) if key in ENTRY_KEYS else join_path(path, key)
            if explained := explain_name(name, others):
                raise ConfigError(f"{shown} has no setting '{key}'{explained}")
            near = did_you_mean(str(key), known)
            raise ConfigError(f"{shown} has no setting '{key}'{near}\nknown: {join_names(known)}")
    missing = [name for name, parameter in parameters.items() if parameter.required and name not in values]
    if missing:
        raise ConfigError(f"{shown} needs {join_names(missing)}\nknown: {join_names(known)}")


def as_entry(value: object, path: str) -> Any:
    """Return an entry as a mapping; a string means its `type`."""
    value = {"type": value} if isinstance(value, str) else value
    check_mapping(value, path)
    return value


def check_other_tools(value: Mapping[str, Any], path: str) -> None:
    """Raise ConfigError if an entry has a key by which another tool names the class or its arguments."""
    key = next((key for key in value if key in ENTRY_KEYS and str(key).startswith("_")), None)
    key = "init_args" if key is None and "type" not in value and "init_args" in value else key
    if key is not None:
        raise ConfigError(f"{path} has no setting '{key}'{explain_name(key)}")


def check_one_or_several(value: Mapping[str, Any], item: object, path: str) -> None:
    """Raise ConfigError if several entries were merged over the single one of a base; merging itself allows it.

    Args:
        value: the merged entry.
        item: annotation of one entry.
        path: its config path.
    """
    name = value.get("type")
    if not name:
        return
    term = resolve_annotation(item, {})
    field = component_field(term)
    registry = resolve_annotation(parameters_of(term)[field].annotation, {}) if field else term
    check_component(name, registry, path)
    parameters = parameters_of(registry.resolve(str(name), path))
    entries = [key for key, item in value.items() if isinstance(item, dict) and "type" in item]
    if any(key not in parameters for key in entries):
        kind = registry.kind
        raise ConfigError(f"{path} mixes one {kind} with several; start with `type: null` to replace the base's {kind}")


def check_concrete(cls: type, path: str) -> None:
    """Raise ConfigError if a class lacks a method of its base, as with a misspelled name."""
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise ConfigError(f"{path}: {cls.__name__} cannot be built: it does not define {join_names(missing)}")


def check_mapping(value: object, path: str) -> None:
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is {show_value(to_type(value, Any))}; it takes a mapping of settings")


def is_nested(value: object, annotation: Any) -> bool:
    """Return whether a value consists of arguments with defaults of their own."""
    return isinstance(value, dict | list) and resolve_annotation(annotation, value) is not None


def accepts_null(parameter: Parameter) -> bool:
    """Return whether an argument accepts null; null for a group of settings means its defaults."""
    annotation = parameter.annotation
    is_untyped = annotation is inspect.Parameter.empty or annotation is Any
    default_is_null = not parameter.required and parameter.default is None
    is_group = resolve_annotation(annotation, {}) is not None
    return is_untyped or is_group or default_is_null or type(None) in union_members(annotation)


def check_reserved(values: Mapping[str, Any], fields: Parameters, component: Component, path: str) -> None:
    """Raise ConfigError if the value of a reserved key is rather for the component's own argument of that name.

    Args:
        values: the reserved keys that are given.
        fields: the fields of the term.
        component: the component of the term.
        path: config path of the term.
    """
    own = parameters_of(component.cls)
    for key, value in values.items():
        typed = to_type(value, fields[key].annotation)
        if value is not None and key in own and not is_accepted(typed, fields[key].annotation):
            raise ConfigError(
                f"{path}.{key} is {typed!r}; it takes {describe_type(fields[key].annotation)}\n"
                f"The argument '{key}' of {component.cls.__name__} is {path}.{INIT}.{key}"
            )


def take_class_path(value: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return an entry in jsonargparse's form, with `class_path` and `init_args`, as one with `type` and arguments.

    Raises:
        ConfigError: the arguments are no mapping, or the type or an argument is given twice.
    """
    rest = {key: item for key, item in value.items() if key not in ("class_path", "init_args")}
    init_args = {} if value.get("init_args") is None else value["init_args"]
    check_mapping(init_args, f"{path}.init_args")
    if "type" in {*rest, *init_args}:
        raise ConfigError(f"{path} has both `type` and `class_path`; remove one")
    _check_given_once(rest, init_args, path, "init_args")
    return {"type": value["class_path"]} | rest | init_args


def take_init(values: dict[str, Any], parameters: Parameters, path: str) -> dict[str, Any]:
    """Remove `init` from the arguments of a component, and return the arguments in it.

    A text or number is the component's own argument of that name.

    Raises:
        ConfigError: it is no mapping, or an argument is given twice.
    """
    if INIT not in values or (INIT in parameters and not isinstance(values[INIT], dict)):
        return {}
    init = {} if values[INIT] is None else values[INIT]
    check_mapping(init, f"{path}.{INIT}")
    del values[INIT]
    _check_given_once(values, init, path, INIT)
    return dict(init)


def _check_given_once(values: Mapping[str, Any], inner: Mapping[str, Any], path: str, key: str) -> None:
    """Raise ConfigError if the arguments at a config path and those at its key `key` have a name in common."""
    for name in inner:
        if name in values:
            raise ConfigError(f"{path}.{name} and {path}.{key}.{name} are the same argument; remove one")
