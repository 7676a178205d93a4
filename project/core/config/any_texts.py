"""Texts where an annotation accepts anything: jsonargparse would read `"010"` there as the number 10."""

import inspect
from collections.abc import Callable
from typing import Any, get_args, get_origin

from jsonargparse.typing import register_type

from project.core.config.annotations import union_members

_ANYTHING = (Any, object, inspect.Parameter.empty)


class KeptText(str):
    """Text that jsonargparse keeps, because it reads no subclass of `str`. Constructors get a `str`."""


register_type(KeptText)


def keep_texts(value: Any, annotation: object) -> Any:
    """Return a value whose texts are KeptTexts if an annotation accepts anything, also inside a container."""
    return _keep(value) if _accepts_anything(annotation) else value


def _keep(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _keep(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_keep(item) for item in value]
    return KeptText(value) if isinstance(value, str) else value


def _accepts_anything(annotation: object) -> bool:
    return any(
        any(member is each for each in _ANYTHING)
        or (get_origin(member) not in (Callable, type) and any(map(_accepts_anything, get_args(member))))
        for member in union_members(annotation)
    )
