"""Help on a stage, and on what can stand at a place of the yaml."""

import inspect
from textwrap import shorten
from typing import Any

import pytorch_lightning as pl

from project.core.annotations import ContainerOf, Parameters, parameters_of, place_of, slot_field, words
from project.core.arguments import STAGES
from project.core.config import BUILT, root_parameters
from project.core.errors import ConfigError, did_you_mean, listing
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
        plain = {name: item for name, item in parameters.items() if path or name not in places}
        lines += ["", f"settings of {path or 'the run'}:", *_settings(path, plain)]
    return "\n".join(lines)


def slot_help(path: str, name: str, tree: Tree) -> str:
    """What can stand at a place, or the settings of what is called `name` there.

    Raises:
        ConfigError: nothing is known of that place or that name.
    """
    found = _at(path.split("."), tree)
    if isinstance(found, dict):
        return "\n".join([f"settings of {path}:", *_settings(path, found)])
    names = found.names()
    if not name:
        lines = [_line(known, _summary(found.find(known, path)), "") for known in names]
        also = [f"and any class of {listing(found.foreign)}"] if found.foreign else []
        return "\n".join([f"at {path} stands a {found.kind}:", *lines, *also])
    cls = found.find(name, path)
    return "\n".join([f"{cls.__name__}: {_summary(cls)}", "", *_settings(path, parameters_of(cls, found.given))])


def _at(keys: list[str], tree: Tree) -> Registry | Parameters:
    """The registry of the slot at a place, or the settings of a plain group."""
    value: Any = tree
    found: Any = root_parameters()
    path = ""
    for key in keys:
        if isinstance(found, Registry):
            implied = DEFAULT_TYPES.get(path, path.rpartition(".")[2])
            name = value.get("type", implied) if isinstance(value, dict) else value or implied
            found = parameters_of(found.find(str(name), path))
        path = f"{path}.{key}" if path else key
        value = (value or {}).get(key) if isinstance(value, dict) else None
        if isinstance(found, ContainerOf):
            found = _unfolded(found.item)
        elif key not in found:
            raise ConfigError(f"nothing stands at '{path}'{did_you_mean(key, found)}\nknown: {listing(found)}")
        else:
            found = _unfolded(found[key].annotation)
    if isinstance(found, ContainerOf):
        found = _unfolded(found.item)
    if not isinstance(found, Registry | dict):
        raise ConfigError(f"{path} is a plain setting: no classes stand there")
    return found


def _unfolded(annotation: Any) -> Any:
    place = place_of(annotation, {}) or place_of(annotation, [])
    if isinstance(place, type):
        slot = slot_field(place)
        return _unfolded(parameters_of(place)[slot].annotation) if slot else parameters_of(place)
    return place


def _settings(path: str, parameters: Parameters) -> list[str]:
    lines = []
    for name, parameter in parameters.items():
        default = "required" if parameter.required else f"default {parameter.default!r}".replace("None", "null")
        kind = "" if parameter.annotation is inspect.Parameter.empty else words(parameter.annotation) + ", "
        lines.append(_line(f"{path}.{name}" if path else name, f"{parameter.doc} ({kind}{default})".strip()))
    return lines


def _line(name: str, text: str, dashes: str = "--") -> str:
    return f"  {dashes + name:<32} {shorten(' '.join(text.split()), 200, placeholder=' ...')}"


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0]
