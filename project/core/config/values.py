"""Checks of plain values that jsonargparse does not make: bounds, and texts in place of numbers."""

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from torch import Tensor

from project.core.config.annotations import union_members
from project.core.config.bounds import is_within
from project.core.config.yaml_files import MAX_DIGITS, PlainScalar, parse_yaml

_TEXTS = (str, Path, type(None))  # no set: some annotations have no hash
_NUMBERS = (int, float, complex)  # bool is an int
_NOT_NUMBERS = (str, Path, Tensor, timedelta, type(None))


def to_type(value: object, annotation: Any) -> Any:
    """Return a value whose plain scalars have the types that an annotation asks for."""
    members = list(union_members(annotation))
    if isinstance(value, PlainScalar):
        literals = [item for member in members if get_origin(member) is Literal for item in get_args(member)]
        typed = parse_yaml(value, "") if len(value) <= MAX_DIGITS else str(value)
        is_text = all(member in _TEXTS for member in members) or (value in literals and typed not in literals)
        return str(value) if is_text else typed
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        annotations = [_item_annotations(member, 2) for member in members if len(get_args(member)) == 2]
        of_key, of_item = annotations[0] if annotations else (Any, Any)
        return {to_type(key, of_key): to_type(item, of_item) for key, item in value.items()}
    if isinstance(value, list):
        containers = [member for member in members if _is_container(get_origin(member)) and get_args(member)]
        typed = [
            list(map(to_type, value, _item_annotations(member, len(value)))) for member in containers or [list[Any]]
        ]
        return next((each for each in typed if is_accepted(each, annotation)), typed[0])
    return value


def restore_keys(value: object, annotation: Any) -> Any:
    """Return a mapping with integers as keys where its annotation says so, which jsonargparse dumps as texts."""
    members = [get_args(member) for member in union_members(annotation) if get_origin(member) is dict]
    if isinstance(value, dict) and any(arguments[0] is int for arguments in members):
        return {int(key): item for key, item in value.items()}
    return value


def is_accepted(value: object, annotation: Any) -> bool:
    """Return whether an annotation accepts the numbers and texts in a value; other types are not checked here.

    jsonargparse reads a text as a number by the rules of YAML 1.1, in which 12:30 is 750, and knows no bounds.

    Args:
        value: a plain value.
        annotation: annotation of the argument.
    """
    if _contains_no_number(value):
        return False
    members = list(union_members(annotation))
    if isinstance(value, str) and any(map(_is_number_type, members)) and _is_number_to_jsonargparse(value):
        return False
    return any(_is_accepted_by(value, member) for member in members)


def _is_accepted_by(value: Any, member: Any) -> bool:
    origin, arguments = get_origin(member), get_args(member)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if origin is Annotated:
        return is_accepted(value, arguments[0]) and (not is_number or is_within(value, arguments[1:]))
    if origin is Literal:
        return any(item == value and isinstance(item, bool) == isinstance(value, bool) for item in arguments)
    if Callable in (origin, member):
        return not isinstance(value, int | float | list | tuple)  # a text is an import path, a mapping an entry
    if not _is_container(origin) or not arguments:
        return _has_type(value, member)
    if isinstance(value, Mapping):
        return len(arguments) != 2 or all(is_accepted(item, arguments[1]) for item in value.values())
    if isinstance(value, list | tuple):
        is_sequence = not issubclass(origin, Mapping)  # jsonargparse does not see `vars`
        return is_sequence and all(map(is_accepted, value, _item_annotations(member, len(value))))
    return not isinstance(value, int | float | str)


def _has_type(value: object, member: Any) -> bool:
    """Return whether a number, text or container can have a type that is no container; True for other types."""
    if not isinstance(member, type) or issubclass(member, Enum):
        return True
    if isinstance(value, str):
        return not issubclass(member, (int, float, type(None)))
    if isinstance(value, Mapping | list | tuple):
        return not issubclass(member, (*_NUMBERS, str, type(None)))
    if isinstance(value, bool):
        return not issubclass(member, _NOT_NUMBERS) and (not issubclass(member, _NUMBERS) or member is bool)
    if isinstance(value, int | float):
        return not issubclass(member, _NOT_NUMBERS) and not (issubclass(member, int) and isinstance(value, float))
    return True


def _item_annotations(member: Any, count: int) -> tuple[Any, ...]:
    """Return the annotations of `count` items of a container."""
    arguments = get_args(member)
    has_own_types = get_origin(member) in (tuple, dict) and arguments[-1] is not Ellipsis
    return arguments if has_own_types else (arguments[0],) * count


def _is_number_type(member: Any) -> bool:
    if get_origin(member) is Annotated:
        member = get_args(member)[0]
    return isinstance(member, type) and issubclass(member, (int, float)) and not issubclass(member, Enum)


def _is_number_to_jsonargparse(text: str) -> bool:
    try:
        return isinstance(yaml.safe_load(text), int | float) or math.isfinite(float(text))
    except (yaml.YAMLError, ValueError):
        return False


def _contains_no_number(value: object) -> bool:
    """Return whether a value contains NaN or an integer of more than 64 bits, which torch cannot hold."""
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    is_wrong = (isinstance(value, int) and value.bit_length() > 64) or (isinstance(value, float) and math.isnan(value))
    return is_wrong or any(map(_contains_no_number, items))


def _is_container(origin: object) -> bool:
    return isinstance(origin, type) and issubclass(origin, Iterable)
