"""The tensors of a training, by name."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from project.core.model.ema import AveragedModule
from project.core.training.lightning_internals.averaging import averaged_tensors

Named = Iterator[tuple[str, Tensor]]


class ModuleTensors:
    """Parameters of a module, and those of its buffers that checkpoints contain.

    The names are those at its construction. A shared parameter has one name.

    Args:
        module: the module.
    """

    def __init__(self, module: nn.Module) -> None:
        saved = module.state_dict().keys()
        named = dict(module.named_parameters())
        self.has_lazy = any(map(is_lazy, named.values()))  # they get values in the first forward pass
        self.left_out = [name for name, tensor in named.items() if not is_lazy(tensor) and not has_bits(tensor)]
        parameters = [name for name, tensor in named.items() if has_bits(tensor)]
        self.parameter_names = [f"parameter {name}" for name in parameters]
        self._parameters = [_owner(module, name) for name in parameters]
        self._buffers = {name: _owner(module, name) for name, _ in module.named_buffers() if name in saved}

    def parameters(self) -> list[Tensor]:
        """Return the current parameters in the order of `parameter_names`."""
        return [getattr(owner, attribute) for owner, attribute in self._parameters]

    def buffers(self) -> Named:
        """Yield the current buffers."""
        for name, (owner, attribute) in self._buffers.items():
            yield from flatten(getattr(owner, attribute), f"buffer {name}")


def optimizer_tensors(optimizers: list[Optimizer], names: Mapping[nn.Parameter, str]) -> Named:
    """Yield the states of optimizers, such as `optimizer 0 exp_avg net.0.weight`."""
    for number, optimizer in enumerate(optimizers):
        for parameter, name in named_parameters(optimizer, names):
            state: dict[Any, Any] = optimizer.state.get(parameter, {})
            for key in sorted(state, key=str):
                for path, tensor in flatten(state[key], str(key)):
                    yield f"optimizer {number} {path} {name}", tensor


def gradients(optimizer: Optimizer, names: Mapping[nn.Parameter, str]) -> Named:
    """Yield the gradients of an optimizer's parameters, by the names of the parameters."""
    for parameter, name in named_parameters(optimizer, names):
        if parameter.grad is not None:
            yield name, parameter.grad


def group_settings(optimizer: Optimizer, number: int) -> Iterator[tuple[str, str, Tensor]]:
    """Yield the settings of an optimizer's groups that are no integers or flags, such as `lr`, `0.0`; `lr` first."""
    for index, group in enumerate(optimizer.param_groups):
        for key in sorted(group.keys() - {"params", "initial_lr"}, key=lambda key: (key != "lr", key)):
            values = group[key] if isinstance(group[key], tuple) else [group[key]]
            if all(isinstance(value, float | Tensor) for value in values):
                for path, tensor in flatten(group[key], f"{number}.{index}"):
                    yield key, path, tensor


def average_tensors(trainer: pl.Trainer, module: nn.Module) -> Named:
    """Yield the averages of the weights: of `model.ema`, and of WeightAveraging."""
    own = module.average.averages if isinstance(module, AveragedModule) else {}
    for name, tensor in (own | averaged_tensors(trainer)).items():
        yield f"average {name}", tensor


def named_parameters(optimizer: Optimizer, names: Mapping[nn.Parameter, str]) -> Iterator[tuple[nn.Parameter, str]]:
    """Yield an optimizer's parameters with their names in the module, or their numbers if it does not have them."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, parameter in enumerate(parameters):
        yield parameter, names.get(parameter, str(number))


def flatten(value: object, path: str) -> Named:
    """Yield the tensors and numbers in nested dicts, lists and tuples, with their paths."""
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, float) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        yield path, torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else torch.int64)
    elif isinstance(value, Mapping | list | tuple):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, item in items:
            yield from flatten(item, f"{path}.{key}" if path else str(key))


def has_bits(tensor: Tensor) -> bool:
    """Return whether a tensor has memory with a value for each element; DTensors and sparse ones have parts."""
    is_wrapper = type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__
    if is_lazy(tensor) or is_wrapper or tensor.layout is not torch.strided:
        return False
    return not (tensor.is_meta or tensor.is_quantized or tensor.is_nested)


def _owner(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, attribute = name.rpartition(".")
    return module.get_submodule(path), attribute
