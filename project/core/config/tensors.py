"""Lists of numbers in the yaml become tensors where an annotation says Tensor, such as the class weights of a loss."""

from functools import partial
from typing import Any

import torch
from jsonargparse.typing import register_type
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from project.core.config.annotations import union_members
from project.core.config.values import to_type


def to_tensor(value: object) -> Tensor:
    """Return a (nested) list as a tensor, of torch's default dtype if it contains a float.

    Raises:
        TypeError: the value is no list.
    """
    if not isinstance(value, list):
        raise TypeError("not a list")
    return torch.tensor(value)


def to_list(tensor: Tensor) -> list[Any]:
    """Return a tensor as a (nested) list; floats have the fewest digits that mean the same value of its dtype."""
    array = tensor.numpy()
    values: list[Any] = (array.astype(str).astype(float) if tensor.is_floating_point() else array).tolist()
    return values


register_type(Tensor, to_list, to_tensor, (TypeError, ValueError, RuntimeError))


def as_weights(name: str, value: Any, annotation: Any) -> Any:
    """Return the value of an argument; the integers in a list of weights, which are factors, become floats."""
    if "weight" in name and isinstance(value, list) and Tensor in union_members(annotation):
        return tree_map_only(int, float, to_type(value, annotation))
    return value


def keep_given_buffers(module: nn.Module, given: dict[str, Any]) -> None:
    """Keep the tensors of the yaml, which torch's losses register as buffers, when a checkpoint is loaded.

    A resumed or finetuned run uses the weights of its own config.yaml.

    Args:
        module: a module of torch.
        given: the arguments that it was built with.
    """
    tensors = [value for value in given.values() if isinstance(value, Tensor)]
    names = [name for name, buffer in module.named_buffers(recurse=False) if any(buffer is each for each in tensors)]
    if names:
        module.register_load_state_dict_pre_hook(partial(_replace, names))


def _replace(names: list[str], module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: object) -> None:
    for name in names:
        state_dict[prefix + name] = getattr(module, name)
