"""Conversion of config entries between the yaml's short form and the form that jsonargparse types and builds.

`{type: UNet, width: 16}` becomes `{class_path: ..., init_args: {width: 16}}`.
The annotations of constructors tell where entries are expected, so entries nest to any depth.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loguru import logger

from project.core.config.annotations import (
    ContainerOf,
    Parameters,
    component_field,
    describe_type,
    num_caller_args,
    parameters_of,
    resolve_annotation,
    union_members,
)
from project.core.config.any_texts import keep_texts
from project.core.config.construction import Component
from project.core.config.defaults import OMITTED, check_default, fill_groups, plain_default, repeats_default
from project.core.config.entry_checks import (
    INIT,
    accepts_null,
    as_entry,
    check_concrete,
    check_names,
    check_one_or_several,
    check_other_tools,
    check_reserved,
    is_nested,
    join_path,
    take_class_path,
    take_init,
)
from project.core.config.keywords import add_keywords, pack_keywords, unpack_keywords
from project.core.config.tensors import as_weights
from project.core.config.trust import check_component, check_plain
from project.core.config.values import restore_keys, to_type
from project.core.config.yaml_files import DEFAULT_TYPES, PlainScalar, Tree
from project.core.errors import ConfigError, normalize, show_value
from project.registry import Registry

_SINGLE = ""  # the name of a dataset or visual that is given without a name


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
        components: components found by `expand`.
    """

    engine_arguments: Mapping[type, Mapping[str, Any]] = field(default_factory=dict)
    plain_values: list[PlainValue] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)

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
            return keep_texts(value, annotation)
        match target:
            case Registry():
                return self._expand_entry(value, target, path, implied, num_caller_args(annotation, target))
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
        for key, value in values.items():
            inner, annotation = join_path(path, key), parameters[key].annotation
            if value is None and not accepts_null(parameters[key]):
                raise ConfigError(f"{inner} is null; it takes {describe_type(annotation)}")
            value = as_weights(str(key), value, annotation)
            typed = to_type(value, annotation)
            if key not in given and not is_nested(value, annotation) and repeats_default(typed, parameters[key]):
                self.plain_values.append(PlainValue(inner, typed, annotation, is_default=True))
            else:
                expanded[str(key)] = self.expand(value, annotation, inner, DEFAULT_TYPES.get(inner))
        return expanded

    def collapse(self, value: Any, annotation: Any, implied: str | None = None) -> Any:
        """Return the short form of what `expand` returned, with the defaults of all arguments."""
        target = resolve_annotation(annotation, value)
        if value is None or target is None:
            return restore_keys(value, annotation)
        match target:
            case Registry():
                return self._collapse_entry(value, target, implied)
            case ContainerOf(kind="mapping"):
                if target.accepts_single and _SINGLE in value:
                    return self.collapse(value[_SINGLE], target.item)
                return {key: self.collapse(item, target.item, key) for key, item in value.items()}
            case ContainerOf():
                return [self.collapse(item, target.item) for item in value]
            case _:
                if value.keys() <= {"class_path", "init_args"}:  # a dataclass with a base that is none
                    value = value.get("init_args") or {}
                fields, component = parameters_of(target), component_field(target)
                rest = {key: field for key, field in fields.items() if key != component}
                inner = {}
                if component is not None:
                    registry = resolve_annotation(fields[component].annotation, {})
                    inner = self._collapse_entry(value[component], registry, implied, [*rest])
                return inner | self._collapse_arguments(value, rest)

    def _expand_mapping(self, value: Any, target: ContainerOf, path: str) -> dict[str, Any]:
        value = as_entry(value, path)
        is_single = any(value.get(key) is not None for key in ("type", "class_path"))
        if target.accepts_single and (is_single or not all(isinstance(item, dict | None) for item in value.values())):
            check_one_or_several(value, target.item, path)
            return {_SINGLE: self.expand(value, target.item, path)}
        if is_single:
            raise ConfigError(f"{path} takes several entries by name: {path}: {{NAME: {{type: ...}}}}")
        if _SINGLE in value:
            raise ConfigError(f"{path} has an empty name")
        for key in (key for key, item in value.items() if item is None):
            if target.accepts_single and key == "type":  # several entries replace the base's single one
                continue
            logger.info(f"{join_path(path, key)} is null and is left out; `{key}: {{}}` would take its defaults")
        return {
            str(key): self.expand(item, target.item, join_path(path, key), str(key))
            for key, item in value.items()
            if item is not None
        }

    def _expand_entry(
        self,
        value: Any,
        registry: Registry,
        path: str,
        implied: str | None,
        num_caller_args: int | None = 0,
        reserved: Sequence[str] = (),
    ) -> Tree:
        value = as_entry(value, path)
        if "class_path" in value:
            value = take_class_path(value, path)
        name = value.get("type", implied)
        check_other_tools(value, path)
        if name is None:
            raise ConfigError(f"{path} needs a `type`\n{registry.describe_known()}")
        if not isinstance(name, str):
            raise ConfigError(f"{path}.type is {show_value(name)}; it must be a name\n{registry.describe_known()}")
        check_component(name, registry, path)
        cls = registry.resolve(str(name), path)
        check_concrete(cls, path)
        own = parameters_of(cls, registry.num_engine_args)
        values = {key: item for key, item in value.items() if key != "type"}
        init = take_init(values, own, path) if reserved else {}
        parameters = add_keywords(own, values | init)
        values = fill_groups(values, {key: item for key, item in parameters.items() if key not in init})
        for key in reserved:
            if key in parameters and parameters[key].required and key not in init:
                raise ConfigError(f"{path} ({cls.__name__}) needs {key}, a reserved key: set {path}.{INIT}.{key}")
        given = self.engine_arguments.get(registry.base, {})
        given = {key: item for key, item in given.items() if key in parameters}
        if init:
            check_names(dict.fromkeys(parameters) | init, parameters, join_path(path, INIT), cls.__name__)
        known = [*reserved, INIT] if reserved else []
        callers = dict.fromkeys([*parameters][:num_caller_args])
        check_names(given | callers | values | init, parameters, path, cls.__name__, known)
        for key, parameter in parameters.items():
            check_default(key, parameter, f"{path} ({cls.__name__})")
        class_path = f"{cls.__module__}.{cls.__qualname__}"
        self.plain_values.append(PlainValue(join_path(path, "type"), registry.short_name(class_path), str))
        init_args = {key: to_type(item, parameters[key].annotation) for key, item in given.items()}
        init_args |= self.expand_arguments(values, parameters, path, given)
        init_args |= self.expand_arguments(init, parameters, join_path(path, INIT), given)
        init_args = pack_keywords(init_args, own)
        self.components.append(Component(path, cls, init_args))
        return {"class_path": class_path, "init_args": init_args}

    def _expand_group(self, value: Any, cls: type, path: str, implied: str | None) -> Tree:
        fields, component = parameters_of(cls), component_field(cls)
        if component is None:
            check_names(value, fields, path)
            own = {key: to_type(item, fields[key].annotation) for key, item in value.items()}
            return own | self.expand_arguments(value, fields, path)  # jsonargparse takes defaults from another instance
        value = as_entry(value, path)
        reserved = {key: item for key, item in value.items() if key in fields and key != component}
        rest = {key: item for key, item in value.items() if key not in reserved}
        reserved_keys = [key for key in fields if key != component]
        registry = resolve_annotation(fields[component].annotation, rest)
        expanded = self._expand_entry(rest, registry, path, implied, reserved=reserved_keys)
        check_reserved(reserved, fields, self.components[-1], path)
        return {component: expanded} | self.expand_arguments(reserved, fields, path)

    def _collapse_entry(
        self, value: Tree, registry: Registry, implied: str | None, reserved: Sequence[str] = ()
    ) -> Tree:
        cls = registry.resolve(value["class_path"], "")
        name = registry.short_name(value["class_path"])
        init_args = unpack_keywords(value.get("init_args") or {})
        parameters = add_keywords(parameters_of(cls, registry.num_engine_args), init_args)
        given = self.engine_arguments.get(registry.base, {})
        result = {} if implied is not None and normalize(name) == normalize(implied) else {"type": name}
        own = {key: item for key, item in parameters.items() if key not in given or init_args.get(key) != given[key]}
        arguments = self._collapse_arguments(init_args, own)
        hidden = {key: arguments.pop(key) for key in (*reserved, INIT, "type") if reserved and key in arguments}
        init = {key: item for key, item in hidden.items() if key in init_args}
        return result | arguments | ({INIT: init} if init else {})

    def _collapse_arguments(self, values: Mapping[str, Any], parameters: Parameters) -> Tree:
        """Return the arguments of a class, with their defaults."""
        arguments = {
            key: self.collapse(values[key], parameter.annotation) if key in values else plain_default(parameter)
            for key, parameter in parameters.items()
        }
        return {key: value for key, value in arguments.items() if value is not OMITTED}
