"""Defaults of constructors: how config.yaml contains them.

A default is never passed to the constructor, which has it already; config.yaml contains it for the reader. So a default
may be anything, also what its annotation does not accept, or what yaml has no form for and config.yaml leaves out.
"""

import inspect
import math
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import torch

from project.core.config.annotations import Parameter, Parameters, union_members
from project.core.errors import ConfigError

OMITTED = object()  # in place of a default that yaml has no form for


def plain_default(parameter: Parameter) -> Any:
    """Return the default of an argument as config.yaml contains it; OMITTED if it does not."""
    return OMITTED if parameter.required else _plain(parameter.default, parameter.annotation)


def check_default(name: str, parameter: Parameter, owner: str) -> None:
    """Check that an argument can have its default.

    Args:
        name: the argument.
        parameter: its annotation and default.
        owner: config path and name of the class, for the message.

    Raises:
        ConfigError: jsonargparse cannot compare it, or it is a group of settings of which yaml has no form.
    """
    default = parameter.default
    is_group = is_dataclass(default) and plain_default(parameter) is OMITTED
    if not parameter.required and (isinstance(default, np.ndarray) or is_group):
        raise ConfigError(
            f"{owner}: the default of '{name}' is of type {type(default).__name__}, which is not supported; make None "
            "the default, and build the value in the constructor"
        )


def repeats_default(value: object, parameter: Parameter) -> bool:
    """Return whether a value of the yaml is the default of an argument, as config.yaml contains it."""
    default = parameter.default
    if isinstance(value, str) and (
        _find_imported(value) is default or (isinstance(default, Enum) and value == default.name)
    ):
        return True
    return not parameter.required and _is_same(value, plain_default(parameter), parameter.annotation)


def fill_groups(values: Mapping[str, Any], parameters: Parameters) -> dict[str, Any]:
    """Return arguments in which a group of settings has the values of the argument's default, such as `Clip(1.0)`."""
    filled = dict(values)
    for key, parameter in parameters.items():
        if isinstance(plain := plain_default(parameter), dict) and is_dataclass(parameter.default):
            value = filled.get(key, {})
            filled[key] = plain | value if isinstance(value, dict) else value
    return filled


def _plain(default: Any, annotation: Any = Any) -> Any:
    if isinstance(default, Enum):
        return _plain_enum(default, annotation)
    if isinstance(default, np.generic):
        default = default.item()
    if default is None or type(default) in (bool, int, float, str):
        return default
    if isinstance(default, Path | torch.dtype):
        return str(default)
    if isinstance(default, list | tuple):
        return _omit_if_any([_plain(item) for item in default])
    if isinstance(default, Mapping):
        items = _omit_if_any([_plain(item) for item in default.values()])
        has_plain_keys = all(type(key) in (bool, int, float, str) for key in default)
        return dict(zip(default, items, strict=True)) if has_plain_keys and items is not OMITTED else OMITTED
    if is_dataclass(default) and not isinstance(default, type):
        values = {item.name: _plain(getattr(default, item.name)) for item in fields(default) if item.init}
        return OMITTED if any(value is OMITTED for value in values.values()) else values
    return _import_path(default)


def _plain_enum(default: Enum, annotation: Any) -> Any:
    """Return the name of a member of an enumeration, or its value where the annotation prefers a text or a number."""
    for member in union_members(annotation):
        if isinstance(member, type) and issubclass(member, Enum) and isinstance(default, member):
            return default.name
        if member in (str, int) and isinstance(default, member):
            return default.value
        if member is str:
            break
    return OMITTED


def _omit_if_any(items: list[Any]) -> Any:
    return OMITTED if any(item is OMITTED for item in items) else items


def _import_path(default: object) -> Any:
    """Return the import path of a function or class; OMITTED if it has none."""
    path = f"{getattr(default, '__module__', None)}.{getattr(default, '__qualname__', None)}"
    return path if _find_imported(path) is default else OMITTED


def _find_imported(path: str) -> object:
    """Return what an import path means in an imported module; OMITTED if nothing."""
    module, _, name = path.rpartition(".")
    return getattr(sys.modules.get(module), name, OMITTED)


def _is_same(value: object, default: object, annotation: Any = float) -> bool:
    """Return whether plain data is equal; 1 is no boolean, and NaN is NaN."""
    if isinstance(value, list) and isinstance(default, list):
        return len(value) == len(default) and all(map(_is_same, value, default))
    if isinstance(value, dict) and isinstance(default, dict):
        return value.keys() == default.keys() and all(_is_same(value[key], default[key]) for key in value)
    if isinstance(value, float) and isinstance(default, float) and math.isnan(value):
        return math.isnan(default)
    if value != default or isinstance(value, bool) != isinstance(default, bool):
        return False
    return isinstance(value, float) == isinstance(default, float) or not _distinguishes_numbers(annotation)


def _distinguishes_numbers(annotation: Any) -> bool:
    """Return whether 1 may mean something else than 1.0, such as one batch and all batches."""
    members = [get_args(each)[0] if get_origin(each) is Annotated else each for each in union_members(annotation)]
    return Any in members or inspect.Parameter.empty in members or (int in members and float in members)
