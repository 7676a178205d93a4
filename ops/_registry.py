"""Registration of operations with torch: schema, reference and lazy build of the kernels."""

from collections.abc import Callable
from typing import Any

import torch
from torch.library import Library, register_fake

from . import _build

NAMESPACE = _build.NAMESPACE
LIBRARY = Library(NAMESPACE, "FRAGMENT")
DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {}  # for `ExportedProgram.run_decompositions`


def define(schema: str, reference: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Register an operation with torch and return it.

    The kernels in csrc/ are built and loaded at the first call. On devices without kernels, `reference` is called.

    Args:
        schema: name, arguments and results: `name(Tensor x, ...) -> Tensor`.
        reference: the same computation in torch operations.
        fake: returns empty tensors with the shapes of the results.
    """
    name = schema.partition("(")[0]
    qualified = f"{NAMESPACE}::{name}"
    LIBRARY.define(schema, tags=[torch.Tag.pt2_compliant_tag])
    operation = getattr(getattr(torch.ops, NAMESPACE), name).default

    def without_kernel(*args: Any) -> Any:
        tensors = [value for value in args if isinstance(value, torch.Tensor)]
        if any(value.layout is not torch.strided for value in tensors):
            raise NotImplementedError(f"{name} takes dense tensors, not {tensors[0].layout}")
        device = tensors[0].device.type.upper()
        _build.load(device)
        if torch._C._dispatch_has_kernel_for_dispatch_key(qualified, device):
            return operation(*args)  # dispatches to the kernel
        return reference(*args)

    LIBRARY.impl(name, without_kernel, "CompositeExplicitAutograd")
    register_fake(qualified, fake, lib=LIBRARY)
    DECOMPOSITIONS[operation] = reference
    return operation
