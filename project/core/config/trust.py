"""Trust: what the configuration in a checkpoint, which a stranger may have written, may name without `--trust`.

A text of such a configuration is a SavedText, unless the user's own yaml files or options contain it. It may name
registered components, and what this package or an imported library defines where a class of the right base is expected;
so it imports no module, and runs only constructors of these. Of functions it may name those that are registered, or
that this package defines outside the engine, with a return annotation of the right base. It may name no file that the
trainer writes.
"""

import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from torch import nn

from project.core.config.annotations import parameters_of, union_members
from project.core.errors import ConfigError
from project.core.functions import function_of, returned_classes
from project.registry import Registry

_PACKAGES = (__name__.partition(".")[0],)
_ENGINE = f"{_PACKAGES[0]}.core."
_LIBRARIES = ("torch", "torchmetrics", "pytorch_lightning", "lightning_fabric")
_KNOWN = "torch, torchmetrics and Lightning"
_UNFIT = f"which is not of this package, {_KNOWN}, or does not fit there"
_FUNCTIONS = ("torch.nn.functional.", "torch.nn.init.", "torch._C._nn.")
_CALLERS = "torch.utils.data.datapipes"  # datasets that call any function with any arguments
# Types of which jsonargparse makes values without an import.
_DATA = (str, int, float, complex, type(None), Path, timedelta, Enum, list, tuple, dict, set, frozenset)


class SavedText(str):
    """Text of a checkpoint's configuration that the user's own yaml files and options do not contain."""

    source = "the config saved in the checkpoint"
    remedy = (
        "If you trust who saved it, add --trust, or a --config of your own that names it; --resume ignores its values"
    )


class RunText(SavedText):
    """Text of a run's config.yaml that the user's own options do not contain."""

    source = "the config.yaml of the run"
    remedy = "If you trust who trained it, add --trust (in Python: trust=True)"


def mark_saved(value: Any, own: Collection[str], kind: type[SavedText] = SavedText) -> Any:
    """Return a tree of a checkpoint in which the texts, also keys, that are not in `own` are SavedTexts.

    Args:
        value: the tree.
        own: texts of the user's own.
        kind: the kind of the others.

    Raises:
        ConfigError: it contains what the engine never saves.
    """
    if isinstance(value, str):
        return value if value in own else kind(value)
    if isinstance(value, dict):
        return {mark_saved(key, own, kind): mark_saved(item, own, kind) for key, item in value.items()}
    if isinstance(value, list):
        return [mark_saved(item, own, kind) for item in value]
    if not isinstance(value, bool | int | float | None):
        raise ConfigError(f"{kind.source} contains a {type(value).__name__}, which is never saved; it is damaged")
    return value


def texts_in(value: object) -> set[str]:
    """Return all texts in a tree, also its keys."""
    if isinstance(value, str):
        return {str(value)}
    items = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return set[str]().union(*map(texts_in, items))


def trust_default(value: Any, default: object) -> Any:
    """Return a value as the user's own if it is the import path of an argument's default."""
    path = f"{getattr(default, '__module__', None)}.{getattr(default, '__qualname__', None)}"
    return path if isinstance(value, SavedText) and value == path else value


def needs_trust(classes: Iterable[type]) -> bool:
    """Return whether `--trust` is needed to load a checkpoint whose configuration names these classes."""
    trusted = {cls: (*_PACKAGES, *_LIBRARIES) if function_of(cls) is None else _PACKAGES for cls in classes}
    return any(_home(function_of(cls) or cls).partition(".")[0] not in homes for cls, homes in trusted.items())


def check_component(name: str, registry: Registry, path: str) -> None:
    """Check the name of a component before it is imported.

    Raises:
        ConfigError: a SavedText names no registered or imported class of this kind.
    """
    if isinstance(name, SavedText) and "." in name:
        found = _find_trusted(name)
        classes = _returned_by(found) if inspect.isroutine(found) else [found]
        if not any(isinstance(each, type) and issubclass(each, registry.required_base) for each in classes):
            raise _untrusted(name, path, f"which is not a registered {registry.kind}, nor one of {_KNOWN}")


def check_plain(value: object, annotation: Any, path: str) -> None:
    """Check the texts in a plain value before jsonargparse imports what they name.

    Raises:
        ConfigError: a SavedText names a file to write, or something that does not fit the annotation.
    """
    types = list(_leaves(annotation))
    texts, specs = list[SavedText](), list[Mapping[str, Any]]()
    _collect(value, texts, specs)
    for text in texts:
        if path.startswith("trainer.") and (Path in types or Path(text).is_absolute() or ".." in Path(text).parts):
            raise _untrusted(text, path, "a path to write to")
        if any(map(_imports, types)) and ("." in text or "/" in text):
            found = _find_trusted(text)
            is_function = inspect.isroutine(found) and text.startswith(_FUNCTIONS)
            if not (is_function or _fits(found, types) or isinstance(found, _classes(types))):
                raise _untrusted(text, path, _UNFIT)
    for spec in specs:
        _check_spec(spec, types, path)


def _check_spec(spec: Mapping[str, Any], types: list[Any], path: str) -> None:
    """Check a mapping from which jsonargparse builds an object: `class_path` and `init_args`."""
    name, arguments = spec["class_path"], spec.get("init_args") or {}
    if isinstance(name, SavedText) and not _fits(_find_trusted(name), types):
        raise _untrusted(name, path, _UNFIT)
    found = _find_trusted(str(name))
    known = parameters_of(found) if isinstance(found, type) else {}
    for key, item in arguments.items() if isinstance(arguments, dict) else ():
        annotation = known[key].annotation if key in known else Callable[..., Any]
        check_plain(trust_default(item, getattr(known.get(key), "default", None)), annotation, f"{path}.{key}")


def _find_trusted(name: str) -> Any:
    """Return what a dotted path means in this package or in an imported module of a library; None if nothing."""
    module, _, attribute = name.rpartition(".")
    top = module.partition(".")[0]
    if top in _PACKAGES:
        with suppress(ImportError):
            found = getattr(import_module(module), attribute, None)
            return found if _home(found).partition(".")[0] == top and function_of(found) is None else None
    found = getattr(sys.modules.get(module), attribute, None) if top in _LIBRARIES else None
    return None if _home(found).startswith(_CALLERS) else found


def _returned_by(function: Callable[..., Any]) -> list[type]:
    """Return the classes of what a function of the user's own package returns; none for others, which do anything."""
    home = f"{_home(function)}."
    return returned_classes(function) if home.partition(".")[0] in _PACKAGES and not home.startswith(_ENGINE) else []


def _home(found: object) -> str:
    """Return the module that defines a class or function; another one may have imported it."""
    return str(getattr(found, "__module__", ""))


def _fits(found: object, types: list[Any]) -> bool:
    """Return whether something is a module of torch, or a subclass of a class among the types of an annotation."""
    return isinstance(found, type) and issubclass(found, (nn.Module, *_classes(types)))


def _classes(types: list[Any]) -> tuple[type, ...]:
    return tuple(filter(_is_class, types))


def _leaves(annotation: Any) -> Iterator[Any]:
    """Yield the types in an annotation, also those in unions and containers."""
    for member in union_members(annotation):
        origin = get_origin(member)
        if origin is None or origin is Callable or origin is type:
            yield member
        else:
            for argument in get_args(member):
                yield from _leaves(argument)


def _imports(leaf: Any) -> bool:
    """Return whether jsonargparse may import a text to make a value of a type."""
    return get_origin(leaf) in (Callable, type) or leaf is Callable or _is_class(leaf)


def _is_class(leaf: Any) -> bool:
    return (
        isinstance(leaf, type)
        and leaf not in (Any, object, type, inspect.Parameter.empty)
        and not issubclass(leaf, _DATA)
    )


def _collect(value: object, texts: list[SavedText], specs: list[Mapping[str, Any]]) -> None:
    """Collect the SavedTexts in a value, and the mappings from which jsonargparse builds objects."""
    if isinstance(value, SavedText):
        texts.append(value)
        if isinstance(structure := _read_structure(value), dict | list):
            _collect(mark_saved(structure, (), type(value)), texts, specs)
    elif isinstance(value, Mapping) and "class_path" in value:
        specs.append(value)
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            _collect(item, texts, specs)


def _read_structure(text: str) -> Any:
    """Return the mapping or list that jsonargparse reads from a text where an annotation accepts anything."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _untrusted(text: SavedText, path: str, problem: str) -> ConfigError:
    return ConfigError(f"{path}: {text.source} names {str(text)!r}, {problem}\n{text.remedy}")
