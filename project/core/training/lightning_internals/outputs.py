"""Outputs of the modules of a net, also of compiled ones, which run no hooks."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

OnOutput = Callable[[object], None]


def modules_with_outputs(root: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules whose outputs can be seen without changing what is computed, by name.

    Modules in a compiled one are left out: their hooks would be compiled with them, to other sums.
    """
    yield name, root
    if not is_compiled(root):
        for child, module in root.named_children():
            yield from modules_with_outputs(module, f"{name}.{child}" if name else child)


def is_compiled(module: nn.Module) -> bool:
    """Return whether `torch.compile` or `torch.jit` compiled a module."""
    is_wrapper = isinstance(module, torch.jit.ScriptModule) or type(module).__name__ == "OptimizedModule"
    return is_wrapper or module._compiled_call_impl is not None


def call_on_output(module: nn.Module, function: OnOutput) -> Callable[[], None]:
    """Have a function called with each output of a module; return a function that ends that."""
    compiled: Any = module._compiled_call_impl
    if compiled is None:
        return module.register_forward_hook(lambda _, inputs, output: _call(function, output)).remove

    def call(*args: Any, **kwargs: Any) -> Any:
        output = compiled(*args, **kwargs)
        _call(function, output)
        return output

    module._compiled_call_impl = call
    return lambda: setattr(module, "_compiled_call_impl", compiled)


def _call(function: OnOutput, output: object) -> None:
    if not torch.compiler.is_compiling():  # in a function that the user compiled
        function(output)
