"""Differences between configurations, described for messages."""

from typing import Any

from project.core.config.annotations import parameters_of
from project.core.config.configuration import Config
from project.core.config.entry_checks import join_path
from project.core.config.hyper_parameters import NOT_COMPARED
from project.core.config.yaml_files import Tree
from project.core.errors import normalize

_NOT_SET = "not set"


def config_changes(old: Config, new: Config) -> dict[str, str]:
    """Return the settings of `new` that `old` does not have or has with another value, by config path.

    Example::

        config_changes(config, build_config(given))  # {"seed": "seed is 1, was 0"}
    """
    values = {path: value.value for path, value in old.plain_values.items()}
    changes = {path: _change(path, value.value, values) for path, value in new.plain_values.items()}
    return {path: text for path, text in changes.items() if text}


def changed_by_options(saved: Tree, merged: Tree, config: Config) -> dict[str, str]:
    """Return how options change the configuration of a checkpoint, by config path, without building it again.

    Args:
        saved: the tree in the checkpoint, which contains all defaults.
        merged: the same tree with the options merged over it.
        config: the configuration built from `merged`.
    """
    before, after = _flatten(saved), _flatten(merged)
    changes = {}
    for path, value in config.plain_values.items():
        # `after` lacks the types in a list of names such as `callbacks: [Timer]`: it does not know the annotations.
        given = after.get(path, value.value)
        is_same_type = path.endswith(".type") and path in before and _same_type(before[path], given, value.value)
        if not is_same_type and (text := _change(path, value.value, before)):
            changes[path] = text
    known = [f"{path}." for path in config.plain_values]
    covered = tuple(f"{path}." for path in changes)
    defaults = {
        join_path(each.path, key): parameter.default
        for each in config.components
        for key, parameter in parameters_of(each.cls).items()
    }
    for path, value in before.items():
        is_leaf = value is not None and not _children(value) and not isinstance(value, _ImpliedType)
        is_known = any(f"{path}.".startswith(name) or name.startswith(f"{path}.") for name in known)
        is_default = path in defaults and _is_equal(defaults[path], value)  # an item of a list that was given
        if is_leaf and not is_known and not is_default and not path.startswith(covered):
            changes[path] = f"{path} is gone" + (f", was {value!r}" if value != {} else "")
    return changes


class _ImpliedType(str):
    """Type of an entry without a key `type`."""


def _flatten(value: Any, path: str = "", key: str = "") -> dict[str, Any]:
    """Return all values in a tree by config path, including mappings and implied types."""
    flat = {path: value}
    if isinstance(value, str | dict):
        flat[join_path(path, "type")] = _ImpliedType(value if isinstance(value, str) else key)
    for name, item in _children(value).items():
        flat |= _flatten(item, join_path(path, name), str(name))
    return flat


def _children(value: Any) -> dict[Any, Any]:
    if isinstance(value, dict):
        return value
    is_list_of_entries = isinstance(value, list) and any(isinstance(item, dict) for item in value)
    return dict(enumerate(value)) if is_list_of_entries else {}


def _is_equal(default: object, value: object) -> bool:
    return type(default) is type(value) and default == value


def _same_type(before: str, after: str, class_name: str) -> bool:
    return normalize(before) in (normalize(after), normalize(class_name))


def _change(path: str, value: object, before: dict[str, Any]) -> str:
    """Return how a setting changed, in words; empty if it did not."""
    if path in NOT_COMPARED or (path in before and before[path] == value):
        return ""
    was = _NOT_SET
    if path in before and not _children(before[path]):
        was = repr(before[path])
    elif any(other.startswith(f"{path}.") for other in before):
        was = "set"
    return "" if value is None and was == _NOT_SET else f"{path} is {value!r}, was {was}"
