"""Dicts of named tensors: their batch size, rows and shapes; and the names of samples."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from project.core.errors import ConfigError, join_names, located

Tensors = dict[str, Tensor]


def batch_size(batch: Mapping[str, Any]) -> int:
    """Return the number of samples in a batch: the length of its first tensor that is not a scalar.

    Raises:
        ConfigError: there is no such tensor.
    """
    for value in batch.values():
        if isinstance(value, Tensor) and value.ndim:
            return value.shape[0]
    raise ConfigError(f"a batch needs a tensor with a row for each sample; this one contains {join_names(batch)}")


def select_rows(tensors: Mapping[str, Any], count: int) -> Tensors:
    """Return the tensors that have one row for each of `count` samples."""
    return {
        name: value
        for name, value in tensors.items()
        if isinstance(value, Tensor) and value.ndim and len(value) == count
    }


def named_tensors(value: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in dicts, lists, tuples and dataclasses, however they are nested, by name.

    Example::

        dict(named_tensors({"image": image, "boxes": [first, second]}))  # image, boxes.0, boxes.1
    """
    parts: list[tuple[object, object]] = []
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        parts = list(value.items())
    elif is_dataclass(value):
        parts = [(field.name, getattr(value, field.name, None)) for field in fields(value)]
    elif isinstance(value, list | tuple):
        parts = list(enumerate(value))
    for key, part in parts:
        yield from named_tensors(part, f"{name}.{key}" if name else str(key))


def abbreviate(indices: list[int], name_of: Callable[[int], str] = str) -> str:
    """Return the names of the first few indices."""
    return ", ".join(map(name_of, indices[:8])) + (", ..." if len(indices) > 8 else "")


def describe_shapes(tensors: Mapping[str, Any]) -> str:
    """Return names, shapes and dtypes in one line: `image (64, 1, 8, 8) float32`."""

    def describe(value: object) -> str:
        if isinstance(value, Tensor):
            return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
        return f"{{{describe_shapes(value)}}}" if isinstance(value, Mapping) else type(value).__name__

    return ", ".join(f"{name} {describe(value)}" for name, value in tensors.items()) or "nothing"


def apply_transform(transform: Callable[[Tensors], Any], batch: Tensors, path: str) -> Tensors:
    """Return a transformed batch.

    Args:
        transform: the transform.
        batch: the batch.
        path: config path of the transform, for messages.

    Raises:
        ConfigError: it returns something else than a dict.
    """
    location = f"{path} ({type(transform).__name__})"
    with located(location):
        transformed = transform(batch)
    if not isinstance(transformed, dict):
        raise ConfigError(f"{location} returns a {type(transformed).__name__}; it must return a dict of tensors")
    return transformed
