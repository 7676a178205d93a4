"""JSON Schemas of config entries: `{type: UNet, width: 16}`, the name alone, several by name, and groups of settings.

The type of an entry selects the schema of its arguments. A file is one of several that merge, so an entry needs no
argument, and one without a type is of any kind, unless its key names a component.
"""

from collections.abc import Mapping
from typing import Any

from project.core.config.annotations import (
    ContainerOf,
    Parameter,
    Parameters,
    component_field,
    parameters_of,
    resolve_annotation,
    union_members,
)
from project.core.config.defaults import plain_default
from project.core.config.entry_checks import INIT
from project.core.config.schema_values import NULL, Schema, any_of, or_reference, value_schema
from project.core.functions import KEYWORDS
from project.registry import Registry

_TYPE_KEYS = ("type", "class_path")
_LISTED = ("optimizer", "scheduler", "callback", "logger")  # kinds whose external classes have their arguments as well


class SchemaBuilder:
    """Builder of the schemas of annotations.

    Args:
        descriptions: texts about settings by config path, which take precedence over docstrings.

    Attributes:
        definitions: schemas that others refer to as `#/$defs/NAME`.
    """

    def __init__(self, descriptions: Mapping[str, str]) -> None:
        self.descriptions, self.definitions = descriptions, dict[str, Schema]()

    def settings(self, parameters: Parameters, path: str = "", others: Mapping[str, Schema] | None = None) -> Schema:
        """Return the schema of a mapping of settings.

        Args:
            parameters: the settings.
            path: their config path, if they have only one.
            others: schemas of further keys.
        """
        properties: dict[str, Schema] = {}
        for key, parameter in parameters.items():
            inner = f"{path}.{key}" if path else key
            text = self.descriptions.get(inner, "") if path != _NO_PATH else ""
            schema = self.annotation(parameter.annotation, inner if path != _NO_PATH else _NO_PATH)
            described = {"description": text or " ".join(parameter.doc.split())} | _default(parameter)
            properties[key] = any_of([schema, NULL]) | described if _is_null(parameter) else schema | described
            if items := self._items(parameter.annotation):
                appended = {"description": f"appended to {key} of the base"}
                properties[f"{key}+"] = any_of([schema, *items]) | appended
        return {
            "type": ["object", "null"],
            "properties": properties | dict(others or {}),
            "additionalProperties": False,
        }

    def annotation(self, annotation: Any, path: str) -> Schema:
        """Return the schema of a value with an annotation."""
        schemas, plain = [], []
        for member in union_members(annotation):
            target = _target(member)
            if target is None:
                plain.append(member)
            else:
                schemas.append(self._target(target, path))
        if not schemas:
            return value_schema(annotation)
        schemas += [NULL if member is type(None) else value_schema(member) for member in plain]
        schema = any_of(schemas)
        has_list = any(isinstance(_target(member), ContainerOf) for member in union_members(annotation))
        return or_reference(schema, annotation) if has_list and "anyOf" in schema else schema

    def _target(self, target: Any, path: str) -> Schema:
        if isinstance(target, ContainerOf):
            if target.kind == "sequence":
                return {"type": "array", "items": self.annotation(target.item, _NO_PATH)}
            return self._several(target)
        if isinstance(target, Registry) or component_field(target):
            return self.entry(target)
        return self.settings(parameters_of(target), path)

    def entry(self, target: Any) -> Schema:
        """Return the schema of an entry: of a Registry, or of a term, which has reserved keys."""
        registry, reserved = _registry(target), _reserved(target)
        name = registry.kind if registry is target else target.__name__
        if name not in self.definitions:
            self.definitions[name] = {}  # while it is built: components contain entries of their own kind
            cases = [self._case(registry, reserved, name, each) for each in _names(registry)]
            others = self.settings(reserved, _NO_PATH)["properties"]
            self.definitions[name] = {
                "type": ["object", "string"],
                "properties": {"type": self._type(registry)} | others,
                "anyOf": [self._type(registry), {}],  # for completion of a name alone
                "allOf": [{"if": {"type": "string"}, "then": self._type(registry)}, *cases],
            }
        return {"$ref": f"#/$defs/{name}"}

    def implied(self, target: Any, arguments: Schema) -> Schema:
        """Return the schema of an entry that has some arguments if it names no type."""
        has_type = {"anyOf": [{"required": [key]} for key in _TYPE_KEYS]}
        return {
            "if": {"type": "object", "not": has_type},
            "then": arguments,
            "else": any_of([self.entry(target), NULL]),
        }

    def arguments(self, registry: Registry, reserved: Parameters, names: list[str]) -> Schema:
        """Return the schema of an entry of some components, with the arguments of all of them."""
        own: Parameters = {}
        for name in names:
            own = parameters_of(registry.resolve(name, registry.kind), registry.num_engine_args) | own
        others: dict[str, Schema] = {key: {} for key in ("type", *reserved)}
        if reserved and INIT not in own:
            others[INIT] = self.settings(own, _NO_PATH)
        schema = self.settings({key: own[key] for key in own if key not in reserved}, _NO_PATH, others)
        return schema | {"additionalProperties": KEYWORDS in own}

    def _case(self, registry: Registry, reserved: Parameters, group: str, name: str) -> Schema:
        key = f"{group}.{name}"
        cls = registry.resolve(name, registry.kind)
        self.definitions[key] = self.arguments(registry, reserved, [name]) | {"description": _summary(cls)}
        is_named = {"properties": {"type": {"type": "string", "pattern": f"^{_pattern(name)}$"}}}
        return {"if": {"type": "object", "required": ["type"]} | is_named, "then": {"$ref": f"#/$defs/{key}"}}

    def _several(self, target: ContainerOf) -> Schema:
        """Return the schema of several entries by name, or of one where that is accepted in their place."""
        registry = _registry(_target(target.item))
        reserved = _reserved(_target(target.item))
        entry = self.entry(_target(target.item))
        group = entry["$ref"].rpartition("/")[2]
        named: dict[str, Schema] = {}
        patterns: dict[str, Schema] = {}
        for name in _names(registry):
            key = _snake_case(name)
            named[key] = self.implied(_target(target.item), {"$ref": f"#/$defs/{group}.{name}"})
            patterns[f"^(?!{key}$){_pattern(name)}$"] = named[key]
        several: Schema = {
            "properties": dict.fromkeys(_TYPE_KEYS, NULL | {"doNotSuggest": True}) | named,
            "patternProperties": patterns,
            "additionalProperties": any_of([entry, NULL]),
        }
        if not target.accepts_single:
            return {"type": "object"} | several
        # A part of the single entry of a base has no type either: keys that may be its arguments are not checked.
        arguments = self.arguments(registry, reserved, _names(registry))["properties"]
        several["properties"] |= {key: {} for key in arguments}
        names_type = [{"required": [key], "properties": {key: {"type": "string"}}} for key in _TYPE_KEYS]
        is_single = {"anyOf": [{"type": "string"}, {"type": "object", "anyOf": names_type}]}
        return {"type": ["object", "string"], "if": is_single, "then": entry, "else": several}

    def _type(self, registry: Registry) -> Schema:
        key = f"{registry.kind}_type"
        if key not in self.definitions:
            names = [*dict.fromkeys([*registry.names(), *sorted(registry.external_classes())])]
            self.definitions[key] = {
                "description": f"name of {registry.a_kind}, or the dotted path of your own class",
                "type": ["string", "null"],
                "pattern": rf"[.]|\$\{{|^({'|'.join(map(_pattern, names))})$",
                "patternErrorMessage": f"No {registry.kind} has this name",
                "anyOf": [{"enum": names}, {}],  # for completion
            }
        return {"$ref": f"#/$defs/{key}"}

    def _items(self, annotation: Any) -> list[Schema]:
        """Return the schemas of the items of the lists that an annotation accepts."""
        schemas = []
        for member in union_members(annotation):
            target = _target(member)
            if isinstance(target, ContainerOf) and target.kind == "sequence":
                schemas.append(self.annotation(target.item, _NO_PATH))
            elif target is None and "array" in value_schema(member).get("type", []):
                schemas.append(value_schema(member).get("items", {}))
        return schemas


_NO_PATH = "?"  # in place of a config path: the settings are at several


def _target(annotation: Any) -> Any:
    return resolve_annotation(annotation, {}) or resolve_annotation(annotation, [])


def _registry(target: Any) -> Registry:
    field = None if isinstance(target, Registry) else component_field(target)
    found: Registry = target if field is None else _target(parameters_of(target)[field].annotation)
    return found


def _reserved(target: Any) -> Parameters:
    field = None if isinstance(target, Registry) else component_field(target)
    return {key: item for key, item in parameters_of(target).items() if key != field} if field else {}


def _names(registry: Registry) -> list[str]:
    """Return the names of the components whose arguments the schema contains."""
    external = registry.external_classes() if registry.kind in _LISTED else {}
    return sorted({*registry.names(), *external})


def _pattern(name: str) -> str:
    """Return a regular expression of a name in any case, with any underscores."""
    letters = [f"[{char.lower()}{char.upper()}]" if char.isalpha() else char for char in name if char != "_"]
    return "_*" + "".join(f"{letter}_*" for letter in letters)


def _snake_case(name: str) -> str:
    text = "".join(
        f"_{char}" if number and char.isupper() and not name[number - 1].isupper() else char
        for number, char in enumerate(name)
    )
    return text.lower()


def _default(parameter: Parameter) -> Schema:
    default = plain_default(parameter)
    is_shown = isinstance(default, bool | int | str) or (isinstance(default, float) and abs(default) < 1e300)
    return {"default": default} if is_shown and not parameter.required else {}  # null ends a completion with an error


def _is_null(parameter: Parameter) -> bool:
    return not parameter.required and parameter.default is None


def _summary(cls: type) -> str:
    return " ".join((cls.__doc__ or "").partition("\n\n")[0].split())
