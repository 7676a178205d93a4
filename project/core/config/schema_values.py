"""JSON Schemas of plain values: which numbers, texts and lists an annotation accepts in a yaml file.

A schema accepts all that the engine accepts: a value may be a reference, `${vars.size}`, and where a text is expected,
an unquoted number is one.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from torch import Tensor

from project.core.config.annotations import describe_type, union_members
from project.core.config.yaml_files import parse_yaml

Schema = dict[str, Any]  # {} accepts everything
REFERENCE = r"\$\{"
_BOOLEANS = "^([yY]es|YES|[nN]o|NO|[oO]n|ON|[oO]ff|OFF)$"  # texts to an editor, which reads YAML 1.2
_TEXTS = (str, Path, type(None))
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def value_schema(annotation: Any) -> Schema:
    """Return the schema of a plain value: `int | null` accepts `3`, `null` and `${vars.size}`."""
    members = list(union_members(annotation))
    if all(member in _TEXTS for member in members) and str in members:
        return any_of([{"type": ["string", "number", "boolean"]}, *([NULL] if type(None) in members else [])])
    return or_reference(any_of([_member_schema(member) for member in members]), annotation)


NULL: Schema = {"type": "null"}


def any_of(schemas: Iterable[Schema]) -> Schema:
    """Return a schema that accepts what one of several accepts; null is added to the types of another one."""
    different: list[Schema] = []
    for schema in schemas:
        if schema not in different:
            different.append(schema)
    if {} in different:
        return {}
    is_nullable = NULL in different
    rest = [schema for schema in different if schema != NULL]
    if is_nullable and len(rest) == 1 and "type" in rest[0] and "enum" not in rest[0]:
        return rest[0] | {"type": [*dict.fromkeys([*_types(rest[0]), "null"])]}
    return different[0] if len(different) == 1 else {"anyOf": [*rest, *([NULL] if is_nullable else [])]}


def or_reference(schema: Schema, annotation: Any) -> Schema:
    """Return a schema that accepts a reference as well; an editor shows the annotation where it accepts no text."""
    if not schema or "string" in _types(schema):
        return schema
    text = {"pattern": REFERENCE, "patternErrorMessage": f"It takes {describe_type(annotation)}"}
    if "type" in schema and "enum" not in schema:
        return schema | {"type": [*_types(schema), "string"]} | text
    return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "string"} | text]}


def _types(schema: Schema) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def _member_schema(member: Any) -> Schema:
    origin, arguments = get_origin(member), get_args(member)
    if origin is Annotated:
        inner = any_of([_member_schema(each) for each in union_members(arguments[0])])
        return inner | _bounds(arguments[1:]) if {*_types(inner)} & {"integer", "number"} else inner
    if origin is Literal:
        return {"enum": [*dict.fromkeys(value for item in arguments for value in _spellings(item))]}
    if member is type(None):
        return NULL
    if Callable in (origin, member):
        return {"type": ["string", "object"]}  # an import path, or an entry
    if member is Tensor:
        return {"type": "array"}
    container = origin or member
    if isinstance(container, type) and issubclass(container, Mapping):
        return {"type": "object"} | ({"additionalProperties": value_schema(arguments[1])} if arguments[1:] else {})
    if isinstance(container, type) and issubclass(container, Iterable) and not issubclass(container, str | Enum):
        return _list_schema(container, arguments) if container in _LISTS else {}
    return _class_schema(member)


_LISTS = {list, tuple, set, frozenset, *map(get_origin, (Iterable[int],))}


def _list_schema(container: type, arguments: tuple[Any, ...]) -> Schema:
    if container is tuple and arguments and arguments[-1] is not Ellipsis:
        count = len(arguments)
        return {
            "type": "array",
            "minItems": count,
            "maxItems": count,
            "prefixItems": list(map(value_schema, arguments)),
        }
    return {"type": "array"} | ({"items": value_schema(arguments[0])} if arguments else {})


def _class_schema(cls: Any) -> Schema:
    """Return the schema of a class that is no container; what jsonargparse makes of a foreign one is not known."""
    if not isinstance(cls, type):
        return {}
    if issubclass(cls, Enum):
        return {"enum": [*cls.__members__]} if not issubclass(cls, str | int) else {}
    if cls is bool:
        return {"type": ["boolean", "string"], "pattern": f"{_BOOLEANS}|{REFERENCE}"}
    names = {str: "string", int: "integer", float: "number"}
    return {"type": names[cls]} if cls in names else {}


def _spellings(item: Any) -> list[Any]:
    """Return a choice, also as the number or boolean that an editor reads: 16 without quotes may mean the text."""
    return [item, parse_yaml(item, "")] if isinstance(item, str) and item.isalnum() else [item]


def _bounds(metadata: Iterable[object]) -> Schema:
    limits = {}
    for bound in metadata:
        for name, keyword in _BOUNDS.items():
            limit = getattr(bound, name, None)
            if limit is not None and math.isfinite(limit):
                limits[keyword] = limit
    return limits
