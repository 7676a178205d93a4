"""Adaptive pooling as operations of ONNX, for pictures of any size.

torch writes such a pooling with the windows of the size that was traced, which are wrong for other sizes.
"""

import operator
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import SymInt, Tensor
from torch.export import ExportedProgram

_ADAPTIVE = {
    getattr(torch.ops.aten, f"adaptive_{kind}_pool{dimensions}d").default: kind
    for kind, dimensions in product(("avg", "max"), (1, 2, 3))
}


def decompose_pooling(program: ExportedProgram) -> ExportedProgram:
    """Return a program whose adaptive pooling of free sizes is computed by operations that take any size.

    Indices of the largest values, which few nets use, are left to torch.
    """
    found = {node.target for node in program.graph.nodes if node.target in _ADAPTIVE and _has_free_size(node)}
    found -= {node.args[0].target for node in program.graph.nodes if _is_of_indices(node)}
    table: dict[Any, Callable[..., Any]] = {
        target: _average if _ADAPTIVE[target] == "avg" else _largest for target in found
    }
    return program.run_decompositions(table) if table else program


def _has_free_size(node: torch.fx.Node) -> bool:
    image, output_size = node.args
    return any(isinstance(size, SymInt) for size in image.meta["val"].shape[-len(output_size) :])  # type: ignore[union-attr, arg-type]


def _is_of_indices(node: torch.fx.Node) -> bool:
    """Return whether a node is the second result of an operation, and is used."""
    return bool(node.target is operator.getitem and node.args[1] == 1 and node.users)


def _average(image: Tensor, output_size: Sequence[int]) -> Tensor:
    """Return the mean of each window of `image` (..., H, W): the product of one matrix for each dimension.

    A value that is not finite makes the means of all windows of its row or column NaN.
    """
    for dimension, size in zip(range(-len(output_size), 0), output_size, strict=True):
        if _is_one(size):
            image = image.mean(dimension, keepdim=True)
        else:
            inside = _windows(image.shape[dimension], size).to(image.dtype)
            weight = inside / inside.sum(1, keepdim=True)
            image = (image.transpose(dimension, -1) @ weight.T).transpose(dimension, -1)
    return image


def _largest(image: Tensor, output_size: Sequence[int]) -> tuple[Tensor, None]:
    """Return the largest value of each window of `image` (..., H, W)."""
    for dimension, size in zip(range(-len(output_size), 0), output_size, strict=True):
        if _is_one(size):
            image = image.amax(dimension, keepdim=True)
        else:
            outside = ~_windows(image.shape[dimension], size)
            image = image.transpose(dimension, -1).unsqueeze(-2).masked_fill(outside, -torch.inf)
            image = image.amax(-1).transpose(dimension, -1)
    return image, None


def _windows(length: int, count: int) -> Tensor:
    """Return `(count, length)`, which positions are in each window: from floor(i n / m) to ceil((i + 1) n / m)."""
    window, position = torch.arange(count)[:, None], torch.arange(length)
    is_after_start = position >= window * length // count
    return is_after_start & (position * count < (window + 1) * length)


def _is_one(size: int | SymInt) -> bool:
    return isinstance(size, int) and size == 1
