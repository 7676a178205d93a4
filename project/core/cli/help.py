"""Help about a stage, and about the component at a config path."""

import dataclasses
import inspect
from importlib.metadata import PackageNotFoundError, version
from textwrap import shorten
from typing import Any

import pytorch_lightning as pl

from project.core.cli.arguments import STAGES
from project.core.config.annotations import (
    ContainerOf,
    Parameter,
    Parameters,
    component_field,
    describe_type,
    parameters_of,
    resolve_annotation,
)
from project.core.config.configuration import ROOT_TYPES, root_parameters
from project.core.config.entry_checks import INIT, join_path
from project.core.config.yaml_files import DEFAULT_TYPES, Tree
from project.core.errors import ConfigError, did_you_mean, join_names
from project.core.functions import KEYWORDS
from project.core.installation import COMMAND
from project.registry import Registry

USAGE = f"""usage: {COMMAND} STAGE [--config FILE ...] [--PATH VALUE ...]

stages:
  fit        train, with validation
  validate   compute losses and metrics of a checkpoint on data.val
  test       compute losses and metrics of a checkpoint on data.eval
  predict    write the predictions of a checkpoint on data.predict, or on --files
  export     write a checkpoint as model.onnx, and compare both on data.eval
  serve      answer requests over HTTP with model.onnx, and show a demo page
  sweep      train a run for each combination of settings, seeds and folds
  table      show runs as a table
  report     write a run, or the runs of a directory, as a page
  find       find lr or batch_size
  replay     train a step of a run again, and show what happened in it
  bisect     find the first step and tensor at which two runs differ
  verify     train parts of a run again, and compare the results with its checkpoints
  golden     write the first losses of a configuration, with which its code can be tested
  schema     print the JSON Schema of a yaml, for an editor
  completion print a script that completes the command line, for bash, zsh or fish

help:
  STAGE --help              options of a stage, and settings of a yaml
  STAGE --PATH.help         components that can be used at a config path, such as model.net
  STAGE --PATH.help NAME    settings of a component
  --version                 versions of this project, torch and Lightning

Every setting of a yaml is an option as well: --model.net MLP --model.optimizer.lr 1e-2 --trainer.max_epochs 3"""
_INIT = Parameter(dict[str, Any], required=False, doc="arguments of the class, also those that reserved keys hide.")
_KEYWORD = Parameter(inspect.Parameter.empty, required=False, doc="any other argument of the function.")
_OPTIONS = {
    "config FILE": "a yaml file; several are merged in order",
    "print_config": "print the whole configuration, and stop",
}


def describe_versions() -> str:
    """Return the versions of this project, torch and Lightning, one a line."""
    own = __name__.partition(".")[0]
    lines = []
    for name in (own, "torch", "pytorch-lightning"):
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name} (not installed)")
    return "\n".join(lines)


def stage_help(stage: str) -> str:
    """Return the options of a stage and the settings of a yaml; without a stage, the stages."""
    if not stage:
        return USAGE
    lines = [f"usage: {COMMAND} {stage} [--config FILE ...] [--PATH VALUE ...]", "", "options:"]
    lines += [_line(name, text) for name, text in (_OPTIONS | STAGES[stage]).items()]
    groups = {"": root_parameters(), "trainer": parameters_of(pl.Trainer)}
    for key, default in DEFAULT_TYPES.items():
        groups[key] = parameters_of(Registry.by_base[ROOT_TYPES[key]].resolve(default, key))
    for path, parameters in groups.items():
        shown = {name: item for name, item in parameters.items() if path or name not in (*groups, *STAGES["fit"])}
        lines += ["", f"settings of {path or 'the run'}:", *_settings(path, shown)]
    return "\n".join(lines)


def component_help(path: str, name: str, tree: Tree) -> str:
    """Return the components that can be used at a config path, or the settings of one.

    Args:
        path: the config path.
        name: name of the component; empty lists all.
        tree: the merged yaml files, which tell the types on the way to the path.

    Raises:
        ConfigError: the path or the name is unknown.
    """
    target, shown = _resolve_path(path.split("."), tree)
    field = component_field(target) if isinstance(target, type) else None
    fields = parameters_of(target) if isinstance(target, type) else {}
    registry = _target(fields[field].annotation) if field else target
    if not isinstance(registry, Registry):
        if not fields:
            raise ConfigError(f"{path} is a plain setting, not a component")
        return "\n".join([f"settings of {path}:", *_settings(shown, fields)])
    if not name:
        lines = [_line(known, _summary(registry.resolve(known, path)), dashes="") for known in registry.names()]
        modules = registry.external_modules
        also = [f"{'and ' if lines else ''}any class of {join_names(modules)}"] if modules else []
        unlisted = ", ".join([*also, "or the dotted path of your own class or function"])
        return "\n".join([f"{path} takes {registry.a_kind}:", *lines, f"  {unlisted}"])
    cls = registry.resolve(name, path)
    reserved = {key: item for key, item in fields.items() if key != field}
    own = parameters_of(cls, registry.num_engine_args)
    others = {"NAME": _KEYWORD} if KEYWORDS in own else {}
    own = {key: item for key, item in own.items() if key != KEYWORDS} | others
    settings = own | reserved | ({INIT: _INIT} if reserved else {})
    return "\n".join([f"{cls.__name__}: {_summary(cls)}", "", *_settings(shown, settings)])


def _resolve_path(keys: list[str], tree: Tree) -> tuple[Any, str]:
    """Return what a config path accepts, and the path as an option, with NAME for any name."""
    value: Any = tree
    target: Any = root_parameters()
    path = shown = ""
    for key in keys:
        if isinstance(target, type):
            fields, field = parameters_of(target), component_field(target)
            target = _target(fields[field].annotation) if field and key not in fields else fields
        if isinstance(target, Registry):
            target = _parameters_of_entry(target, path, value)
        path, shown = join_path(path, key), join_path(shown, key)
        value = value.get(key) if isinstance(value, dict) else None
        if isinstance(target, dict) and key not in target:
            near = did_you_mean(key, target)
            raise ConfigError(f"unknown config path '{path}'{near}\nknown: {join_names(target)}")
        target = _target(target[key].annotation) if isinstance(target, dict) else _target(target.item)
    if isinstance(target, ContainerOf):
        # Where one entry may be given in place of several, and in lists, the option has no NAME.
        shown = f"{shown}.NAME" if target.kind == "mapping" and not target.accepts_single else shown
        target = _target(target.item)
    return target, shown


def _parameters_of_entry(registry: Registry, path: str, value: object) -> Parameters:
    """Return the arguments of the component that an entry names."""
    implied = DEFAULT_TYPES.get(path, path.rpartition(".")[2])
    name = value.get("type", implied) if isinstance(value, dict) else value or implied
    try:
        return parameters_of(registry.resolve(str(name), path), registry.num_engine_args)
    except ConfigError as error:
        if value is None:
            raise ConfigError(f"the {registry.kind} of {path} is not set; use --{path} NAME, or --config") from error
        raise


def _target(annotation: object) -> Any:
    return resolve_annotation(annotation, {}) or resolve_annotation(annotation, [])


def _settings(path: str, parameters: Parameters) -> list[str]:
    lines = []
    for name, parameter in parameters.items():
        default = "required" if parameter.required else f"default {parameter.default!r}".replace("None", "null")
        if dataclasses.is_dataclass(parameter.annotation):
            default = ""  # a group of settings with defaults of their own
        is_typed = parameter.annotation is not inspect.Parameter.empty
        kind = describe_type(parameter.annotation) if is_typed else ""
        lines.append(_line(join_path(path, name), parameter.doc, ", ".join(filter(None, (kind, default)))))
    return lines


def _line(name: str, text: str, takes: str = "", dashes: str = "--") -> str:
    takes = f" ({takes})" if takes else ""
    return f"  {dashes + name:<32} {shorten(text, max(40, 200 - len(takes)), placeholder=' ...')}{takes}".rstrip()


def _summary(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]  # not that of a base, as of inspect.getdoc
