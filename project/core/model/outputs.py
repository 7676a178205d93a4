"""Outputs of nets: what becomes a dict of named tensors."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from project.core.data.tensors import Tensors
from project.core.errors import ConfigError


def name_tensors(returned: Any, name: str | None, net: str) -> Tensors:
    """Return the output of a net as a dict of named tensors.

    Args:
        returned: what the net returned.
        name: name of a single tensor; None for an output that has names.
        net: name of the net's class, for messages.

    Raises:
        ConfigError: a single tensor has no name, others have one, or the output is something else.
    """
    output = _by_name(returned)
    if isinstance(output, Mapping) and name is None:
        return dict(output)
    if isinstance(output, Tensor) and name is not None:
        return {name: output}
    remedies = {
        Mapping: "remove `output`",
        Tensor: "name it with `output: NAME`",
        object: "it must return a dict of tensors",
    }
    remedy = next(remedy for kind, remedy in remedies.items() if isinstance(output, kind))
    raise ConfigError(f"model.net ({net}) returns a {type(returned).__name__}: {remedy}")


def _by_name(output: Any) -> Any:
    """Return the tensors of a dataclass, such as an output of Hugging Face, or NamedTuple as a dict; others unchanged.

    Fields that are None, or no tensors, such as the hidden states of all layers, are left out.
    """
    if type(output) is dict:
        return output
    if is_dataclass(output) and not isinstance(output, type):
        names = [item.name for item in fields(output)]
    elif isinstance(output, tuple) and hasattr(output, "__match_args__"):  # of a NamedTuple, the names of its fields
        names = list(output.__match_args__)
    else:
        return output
    values = {name: getattr(output, name) for name in names}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}
