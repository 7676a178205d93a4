"""From the yaml's short form to the one that jsonargparse types and builds, and back.

`{type: UNet, width: 16}` becomes `{class_path: project.models.unet.UNet, init_args: ...}`.
What is a slot is read off the annotations of constructors, so slots nest to any depth.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

import pytorch_lightning as pl
import torch
from loguru import logger
from pytorch_lightning.cli import ReduceLROnPlateau

from project.core.annotations import (
    ContainerOf,
    Parameter,
    Parameters,
    alternatives,
    parameters_of,
    place_of,
    slot_field,
    words,
)
from project.core.errors import ConfigError, did_you_mean, listing, normalize
from project.core.yaml_files import DEFAULT_TYPES, Text, Tree, parse_yaml
from project.registry import Registry

Registry("optimizer", torch.optim.Optimizer, foreign=("torch.optim",), given=1)
SCHEDULERS = Registry("scheduler", torch.optim.lr_scheduler.LRScheduler, foreign=("torch.optim.lr_scheduler",), given=1)
SCHEDULERS.add("WarmupCosine", f"{__package__}.schedulers.WarmupCosine")
SCHEDULERS.add("Poly", f"{__package__}.schedulers.Poly")
SCHEDULERS.add("ReduceLROnPlateau", f"{ReduceLROnPlateau.__module__}.ReduceLROnPlateau")
CALLBACKS = Registry("callback", pl.Callback, foreign=("pytorch_lightning.callbacks",))
CALLBACKS.add("GradientMonitor", f"{__package__}.debugging.GradientMonitor")
CALLBACKS.add("NonFiniteStop", f"{__package__}.debugging.NonFiniteStop")
Registry("logger", pl.loggers.Logger, foreign=("pytorch_lightning.loggers",))
Registry("profiler", pl.profilers.Profiler, foreign=("pytorch_lightning.profilers",))
Registry("strategy", pl.strategies.Strategy, foreign=("pytorch_lightning.strategies",))

_SINGLE = ""  # the name of a set that stands alone


@dataclass
class Leaf:
    """A value that is not a slot, and what its annotation takes."""

    path: str
    value: Any
    annotation: Any


@dataclass
class Slots:
    """Expands and collapses trees.

    Args:
        fills: by a slot's base class, arguments that a class gets when it has them and the yaml does not.
        leaves: the values met in `expand`, in order.
    """

    fills: Mapping[type, Mapping[str, Any]] = field(default_factory=dict)
    leaves: list[Leaf] = field(default_factory=list)

    def expand(self, value: Any, annotation: Any, path: str, implied: str | None = None) -> Any:
        """The value as jsonargparse takes it.

        Args:
            value: from the yaml tree.
            annotation: what stands at this place.
            path: the place, dotted, for messages.
            implied: the type, where the key names it.

        Raises:
            ConfigError: an unknown type or key, or a missing argument.
        """
        if isinstance(value, Text):
            value = _typed(value, annotation)
        if value is None and type(None) not in alternatives(annotation) and place_of(annotation, {}) is not None:
            value = {}  # `progress:` with nothing below it
        place = place_of(annotation, value)
        if value is None or place is None:
            value = _typed(value, annotation)
            self.leaves.append(Leaf(path, value, annotation))
            return value
        match place:
            case Registry():
                return self._expand_slot(value, place, path, implied)
            case ContainerOf(kind="mapping"):
                return self._expand_mapping(value, place, path)
            case ContainerOf():
                return [self.expand(item, place.item, join(path, i)) for i, item in enumerate(value)]
            case _:
                return self._expand_group(value, place, path, implied)

    def arguments(self, values: Mapping[str, Any], parameters: Parameters, path: str) -> dict[str, Any]:
        """Expands a class's arguments, after their names were checked."""
        places = {key: join(path, key) for key in values}
        for key, value in values.items():
            if value is None and not _may_be_null(parameters[key]):
                raise ConfigError(f"{places[key]} is null; it takes {words(parameters[key].annotation)}")
        return {
            key: self.expand(value, parameters[key].annotation, places[key], DEFAULT_TYPES.get(places[key]))
            for key, value in values.items()
        }

    def collapse(self, value: Any, annotation: Any, implied: str | None = None) -> Any:
        """The short form of what `expand` returned, with the defaults that jsonargparse filled in."""
        place = place_of(annotation, value)
        if value is None or place is None:
            return value
        match place:
            case Registry():
                return self._collapse_slot(value, place, implied)
            case ContainerOf(kind="mapping"):
                if place.lazy and _SINGLE in value:
                    return self.collapse(value[_SINGLE], place.item)
                return {key: self.collapse(item, place.item, key) for key, item in value.items()}
            case ContainerOf():
                return [self.collapse(item, place.item) for item in value]
            case _:
                fields, slot = parameters_of(place), slot_field(place)
                inner = self.collapse(value[slot], fields[slot].annotation, implied) if slot else {}
                rest = {key: self.collapse(value[key], fields[key].annotation) for key in value if key != slot}
                return inner | rest

    def _expand_mapping(self, value: Any, place: ContainerOf, path: str) -> dict[str, Any]:
        value = _as_slot(value, path)
        single = any(value.get(key) is not None for key in ("type", "class_path"))
        if place.lazy and (single or not all(isinstance(item, dict | None) for item in value.values())):
            _refuse_several_over_one(value, place_of(place.item, {}), path)
            return {_SINGLE: self.expand(value, place.item, path)}
        if single:
            raise ConfigError(f"{path} takes several by name: {path}: {{NAME: {{type: ...}}}}")
        for key in (key for key, item in value.items() if item is None):
            logger.info(f"{join(path, key)} is null and left out; `{key}: {{}}` would have its defaults")
        return {
            key: self.expand(item, place.item, join(path, key), key) for key, item in value.items() if item is not None
        }

    def _expand_slot(
        self, value: Any, registry: Registry, path: str, implied: str | None, reserved: Sequence[str] = ()
    ) -> Any:
        value = _as_slot(value, path)
        if "class_path" in value:
            value = {"type": value["class_path"]} | (value.get("init_args") or {})
        name = value.get("type", implied)
        if name is None:
            raise ConfigError(f"{path} needs a `type`\n{registry.known()}")
        cls = registry.find(str(name), path)
        parameters = parameters_of(cls, registry.given)
        values = {key: item for key, item in value.items() if key != "type"}
        taken = [key for key in reserved if key in parameters and parameters[key].required]
        if taken:
            raise ConfigError(f"{path} ({cls.__name__}) has an argument '{taken[0]}', which the engine uses: rename it")
        fills = {key: item for key, item in self.fills.get(registry.base, {}).items() if key in parameters}
        check_names(fills | values, parameters, path, cls.__name__, reserved)
        self.leaves.append(Leaf(join(path, "type"), cls.__name__, str))
        given = {key: _typed(item, parameters[key].annotation) for key, item in fills.items()}
        init_args = given | self.arguments(values, parameters, path)
        return {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": init_args}

    def _expand_group(self, value: Any, cls: type, path: str, implied: str | None) -> Any:
        fields, slot = parameters_of(cls), slot_field(cls)
        if slot is None:
            check_names(value, fields, path)
            return self.arguments(value, fields, path)
        value = _as_slot(value, path)
        reserved = {key: item for key, item in value.items() if key in fields and key != slot}
        rest = {key: item for key, item in value.items() if key not in reserved}
        others = [key for key in fields if key != slot]
        expanded = self._expand_slot(rest, place_of(fields[slot].annotation, rest), path, implied, others)
        return {slot: expanded} | self.arguments(reserved, fields, path)

    def _collapse_slot(self, value: Tree, registry: Registry, implied: str | None) -> Tree:
        cls = registry.find(value["class_path"], "")
        name = registry.short_name(value["class_path"])
        parameters = parameters_of(cls, registry.given)
        fills = self.fills.get(registry.base, {})
        result = {} if implied is not None and normalize(name) == normalize(implied) else {"type": name}
        for key, item in (value.get("init_args") or {}).items():
            if not (key in fills and fills[key] == item):
                result[key] = self.collapse(item, parameters[key].annotation)
        return result


def join(path: str, key: object) -> str:
    """`join("model", "net")` is `model.net`."""
    return f"{path}.{key}" if path else str(key)


def _as_slot(value: Any, path: str) -> Any:
    """A slot's settings; a text is its type."""
    value = {"type": value} if isinstance(value, str) else value
    _check_mapping(value, path)
    return value


def _refuse_several_over_one(value: Mapping[str, Any], registry: Registry, path: str) -> None:
    """Says what to write where a yaml names several sets and its base a single one: merging cannot tell."""
    parameters = parameters_of(registry.find(str(value["type"]), path)) if value.get("type") else {}
    sets = [key for key, item in value.items() if isinstance(item, dict) and "type" in item]
    if parameters and any(key not in parameters for key in sets):
        raise ConfigError(
            f"{path} is a single set and several: where the base has one, several begin with `type: null`"
        )


def _check_mapping(value: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is {value!r}; it takes a mapping of settings")


def check_names(values: Any, parameters: Parameters, path: str, owner: str = "", reserved: Sequence[str] = ()) -> None:
    """Refuses a name that is not an argument, and the absence of one that must be given."""
    shown = f"{path} ({owner})" if owner else path or "the config"
    _check_mapping(values, shown)
    known = [*parameters, *reserved]
    for key in values:
        if key not in parameters:
            raise ConfigError(f"{shown} has no setting '{key}'{did_you_mean(str(key), known)}\nknown: {listing(known)}")
    missing = [name for name, parameter in parameters.items() if parameter.required and name not in values]
    if missing:
        raise ConfigError(f"{shown} needs {listing(missing)}\nknown: {listing(known)}")


def _may_be_null(parameter: Parameter) -> bool:
    """Whether an argument takes null, or its defaults stand for it."""
    annotation = parameter.annotation
    untyped = annotation is inspect.Parameter.empty or annotation is Any or place_of(annotation, {}) is not None
    default_is_null = not parameter.required and parameter.default is None
    return untyped or default_is_null or type(None) in alternatives(annotation)


def _typed(value: Any, annotation: Any) -> Any:
    """What the texts of the command line stand for where they land."""
    if isinstance(value, Text):
        return str(value) if set(alternatives(annotation)) <= {str, type(None)} else parse_yaml(value, "")
    if isinstance(value, dict):
        items = [get_args(option)[-1] for option in alternatives(annotation) if get_origin(option) is dict]
        return {key: _typed(item, items[0] if items else Any) for key, item in value.items()}
    return value
