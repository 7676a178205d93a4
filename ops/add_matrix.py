"""Sum of two matrices: the example of an operation, from its schema to an nn.Module."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.library import register_autograd

from ._registry import LIBRARY, NAMESPACE, define


def _reference(x: Tensor, y: Tensor) -> Tensor:
    return torch.add(x, y).contiguous()


def _fake(x: Tensor, y: Tensor) -> Tensor:
    return x.new_empty(x.shape)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    return grad, grad


_ADD = define("add_matrix(Tensor x, Tensor y) -> Tensor", _reference, _fake)
register_autograd(f"{NAMESPACE}::add_matrix", _backward, lib=LIBRARY)


def add_matrix(x: Tensor, y: Tensor) -> Tensor:
    """Return `x + y` for matrices `(N, M)` of the same floating dtype and device.

    Raises:
        ValueError: shapes, dtypes or devices differ, or the tensors are not floating matrices.
    """
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"add_matrix takes two matrices of the same shape, not {tuple(x.shape)} and {tuple(y.shape)}")
    if x.dtype != y.dtype or not x.is_floating_point():
        raise ValueError(f"add_matrix takes two matrices of the same floating dtype, not {x.dtype} and {y.dtype}")
    if x.device != y.device:
        raise ValueError(f"add_matrix takes two matrices on one device, not on {x.device} and {y.device}")
    result: Tensor = _ADD(x, y)
    return result


class AddMatrix(nn.Module):
    """Module that returns `x + y` for matrices `(N, M)`."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return add_matrix(x, y)
