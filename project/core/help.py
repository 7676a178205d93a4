"""Help on a stage, and on what can stand at a place of the yaml."""

import dataclasses
import inspect
from textwrap import shorten
from typing import Any

import pytorch_lightning as pl

from project.core.annotations import ContainerOf, Parameters, parameters_of, place_of, slot_field, words
from project.core.arguments import STAGES
from project.core.config import BUILT, root_parameters
from project.core.errors import ConfigError, did_you_mean, listing
from project.core.slots import join
from project.core.yaml_files import DEFAULT_TYPES, Tree
from project.registry import Registry

USAGE = """usage: python cli.py STAGE [--config FILE ...] [--PLACE VALUE ...]

stages:
  fit        train, and validate along the way
  validate   losses and metrics of a checkpoint on data.val
  test       losses and metrics of a checkpoint on data.eval
  predict    what a checkpoint's net makes of data.predict

help:
  STAGE --help              the options of a stage and the settings of a yaml
  STAGE --PLACE.help        what can stand at a place of the yaml, such as model.net
  STAGE --PLACE.help NAME   its settings

Every setting of a yaml is an option too: --model.net MLP --model.optimizer.lr 1e-2 --trainer.max_epochs 3"""
_OPTIONS = {
    "config FILE": "a yaml; several merge in order",
    "print_config": "print the configuration that would run, and stop",
}


def stage_help(stage: str) -> str:
    """The options of a stage; without one, the stages."""
    if not stage:
        return USAGE
    lines = [f"usage: python cli.py {stage} [--config FILE ...] [--PLACE VALUE ...]", "", "options:"]
    lines += [_line(name, text) for name, text in (_OPTIONS | STAGES[stage]).items()]
    places = {"": root_parameters(), "trainer": parameters_of(pl.Trainer)}
    for key, default in DEFAULT_TYPES.items():
        places[key] = parameters_of(Registry.by_base[BUILT[key]].find(default, key))
    for path, parameters in places.items():
        plain = {name: item for name, item in parameters.items() if path or name not in (*places, *STAGES["fit"])}
        lines += ["", f"settings of {path or 'the run'}:", *_settings(path, plain)]
    return "\n".join(lines)


def slot_help(path: str, name: str, tree: Tree) -> str:
    """What can stand at a place, or the settings of what is called `name` there.

    Raises:
        ConfigError: nothing is known of that place or that name.
    """
    place, shown = _at(path.split("."), tree)
    slot = slot_field(place) if isinstance(place, type) else None
    fields = parameters_of(place) if isinstance(place, type) else {}
    registry = _inner(fields[slot].annotation) if slot else place
    if not isinstance(registry, Registry):
        if not fields:
            raise ConfigError(f"{path} is a plain setting: no classes stand there")
        return "\n".join([f"settings of {path}:", *_settings(shown, fields)])
    if not name:
        lines = [_line(known, _summary(registry.find(known, path)), dashes="") for known in registry.names()]
        also = [f"  {'and ' if lines else ''}any class of {listing(registry.foreign)}"] if registry.foreign else []
        return "\n".join([f"at {path} stands {registry.a_kind}:", *lines, *also])
    cls = registry.find(name, path)
    reserved = {key: item for key, item in fields.items() if key != slot}
    settings = parameters_of(cls, registry.given) | reserved
    return "\n".join([f"{cls.__name__}: {_summary(cls)}", "", *_settings(shown, settings)])


def _at(keys: list[str], tree: Tree) -> tuple[Any, str]:
    """What stands at a place, and the place as an option's name: NAME where any name will do."""
    value: Any = tree
    found: Any = root_parameters()
    path = shown = ""
    for key in keys:
        if isinstance(found, type):
            fields, slot = parameters_of(found), slot_field(found)
            found = _inner(fields[slot].annotation) if slot and key not in fields else fields
        if isinstance(found, Registry):
            implied = DEFAULT_TYPES.get(path, path.rpartition(".")[2])
            name = value.get("type", implied) if isinstance(value, dict) else value or implied
            try:
                found = parameters_of(found.find(str(name), path), found.given)
            except ConfigError as error:
                if value is None:
                    raise ConfigError(f"which {found.kind} is at {path}? Say --{path} NAME, or --config") from error
                raise
        path, shown = join(path, key), join(shown, key)
        value = value.get(key) if isinstance(value, dict) else None
        if isinstance(found, dict) and key not in found:
            raise ConfigError(f"nothing stands at '{path}'{did_you_mean(key, found)}\nknown: {listing(found)}")
        found = _inner(found[key].annotation) if isinstance(found, dict) else _inner(found.item)
    if isinstance(found, ContainerOf):
        # A lazy container may hold a single slot, and a list is given as one value.
        shown = f"{shown}.NAME" if found.kind == "mapping" and not found.lazy else shown
        found = _inner(found.item)
    return found, shown


def _inner(annotation: Any) -> Any:
    return place_of(annotation, {}) or place_of(annotation, [])


def _settings(path: str, parameters: Parameters) -> list[str]:
    lines = []
    for name, parameter in parameters.items():
        default = "required" if parameter.required else f"default {parameter.default!r}".replace("None", "null")
        if dataclasses.is_dataclass(parameter.annotation):
            default = ""  # a group of settings, with defaults of their own
        kind = "" if parameter.annotation is inspect.Parameter.empty else words(parameter.annotation)
        lines.append(_line(f"{path}.{name}" if path else name, parameter.doc, ", ".join(filter(None, (kind, default)))))
    return lines


def _line(name: str, text: str, takes: str = "", dashes: str = "--") -> str:
    takes = f" ({takes})" if takes else ""
    return f"  {dashes + name:<32} {shorten(text, max(40, 200 - len(takes)), placeholder=' ...')}{takes}"


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0]
