"""docs/reference/settings.md: every setting of a yaml."""

from collections.abc import Iterator

import pytorch_lightning as pl

from project.core.config.annotations import (
    ContainerOf,
    Parameters,
    component_field,
    parameters_of,
    resolve_annotation,
)
from project.core.config.configuration import ROOT_TYPES, root_parameters
from project.core.config.setting_comments import setting_comments
from project.core.config.yaml_files import DEFAULT_TYPES
from project.registry import Registry
from reference.tables import table

_HEAD = """# Settings
Every setting of a yaml, with the values that it takes. `configs/default.yaml` contains the defaults; each setting is an
option of the command line as well, such as `--model.clip.value 1.0`. `python scripts/write_reference.py` writes this
page.

A file may also have the key `base`, which names the file or files that it changes, and `sweep`, the definition of a
[sweep](../studies.md). To append to a list of the base, write `callbacks+`. Values may refer to others:
[Configuration](../configuration.md). In the tables, NAME is a name that you choose, and NUMBER that of an item of a
list. The arguments of components are on [their own page](components.md).
"""


def settings_page() -> str:
    """Return the page."""
    groups: dict[str, Parameters] = {"": {}}
    groups |= {key: {} for key in (*ROOT_TYPES, "trainer")}
    for key, item in root_parameters().items():
        if key in ROOT_TYPES:
            groups[key] = parameters_of(Registry.by_base[ROOT_TYPES[key]].resolve(DEFAULT_TYPES[key], key))
        elif key == "trainer":
            groups[key] = parameters_of(pl.Trainer)
        else:
            groups[""] = groups[""] | {key: item}
    parts = [_HEAD]
    for path, parameters in groups.items():
        parts += _section(path, parameters)
        for inner, others in _inner(path, parameters):
            parts += _section(inner, others)
    return "\n".join(parts)


def _section(path: str, parameters: Parameters) -> list[str]:
    comments = setting_comments()
    names = {key: f"{path}.{key}" if path else key for key in parameters}
    rows = ((names[key], item, _meaning(comments.get(names[key], ""))) for key, item in parameters.items())
    return [f"## {path or 'The run'}", table("setting", rows), ""]


def _meaning(comment: str) -> str:
    return comment.removeprefix("required: ").removesuffix(":")


def _inner(path: str, parameters: Parameters) -> Iterator[tuple[str, Parameters]]:
    """Yield the groups of settings among some settings, and the reserved keys of entries, with their config paths."""
    for key, item in parameters.items():
        inner = f"{path}.{key}" if path else key
        target = resolve_annotation(item.annotation, {}) or resolve_annotation(item.annotation, [])
        if isinstance(target, ContainerOf):
            inner += "" if target.accepts_single else ".NAME" if target.kind == "mapping" else ".NUMBER"
            target = resolve_annotation(target.item, {})
        if isinstance(target, type):
            field = component_field(target)
            found = {name: each for name, each in parameters_of(target).items() if name != field}
            yield inner, found
            yield from _inner(inner, found)
