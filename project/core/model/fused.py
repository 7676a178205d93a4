"""Fused optimizers: those of torch that compute what the unfused ones do."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from project.core.errors import ConfigError

Dtypes = frozenset[torch.dtype]
_ALL: Dtypes = frozenset({torch.float64, torch.float32, torch.bfloat16})
# By device and class: the dtypes of parameters for which tests/core/model/test_fused.py compares the fused optimizer
# with the unfused one. Others are not fused unless the yaml asks for it.
FUSED: Mapping[tuple[str, type[Optimizer]], Dtypes] = {
    ("cpu", SGD): frozenset({torch.float64, torch.float32}),
    ("cpu", Adam): _ALL,
    ("cpu", AdamW): _ALL,
    ("cpu", Adagrad): _ALL,
    ("cuda", SGD): _ALL,
    ("cuda", Adam): _ALL,
    ("cuda", AdamW): _ALL,
}
# torch's fused SGD on the CPU reads the wrong elements below float32, and its momentum uninitialized memory.
_WRONG: Mapping[tuple[str, type[Optimizer]], Dtypes] = {("cpu", SGD): frozenset({torch.bfloat16, torch.float16})}


def is_fusible(optimizer: Optimizer, module: nn.Module) -> bool:
    """Return whether a fused optimizer computes what this unfused one does, and its implementation was not chosen.

    Args:
        optimizer: an optimizer that is not fused.
        module: the module whose parameters it has.
    """
    chosen = optimizer.defaults
    if chosen.get("fused") is not None or chosen.get("foreach") or chosen.get("differentiable"):
        return False
    if any(getattr(part, "sparse", False) for part in module.modules()):
        return False  # torch has no fused optimizer for the sparse gradients of such embeddings
    return all(
        parameter.dtype in FUSED.get((parameter.device.type, type(optimizer)), ()) and _is_dense(parameter)
        for group in optimizer.param_groups
        for parameter in group["params"]
    )


def check_fused(optimizer: Optimizer) -> None:
    """Raise ConfigError if the yaml asks for a fused optimizer that computes wrong values."""
    if not optimizer.defaults.get("fused"):
        return
    for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
        device, name = parameter.device.type, type(optimizer).__name__
        problem = ""
        if parameter.dtype in _WRONG.get((device, type(optimizer)), ()):
            problem = f"torch's fused {name} computes wrong values for {parameter.dtype} on the {device.upper()}"
        elif not _is_dense(parameter):
            problem = f"torch's fused {name} computes wrong values for a parameter that is a view with gaps in memory"
        if problem:
            raise ConfigError(f"model.optimizer: {problem}; remove `fused`")


def _is_dense(tensor: torch.Tensor) -> bool:
    """Return whether the elements of a tensor fill its memory, in any order: only then a copy keeps its strides."""
    return is_lazy(tensor) or tensor.is_contiguous() or torch.empty_like(tensor).stride() == tensor.stride()
