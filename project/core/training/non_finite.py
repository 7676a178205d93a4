"""Search for the first value of a training step that is infinite or NaN."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from project.core.data.tensors import named_tensors
from project.core.errors import is_library
from project.core.training.lightning_internals.outputs import call_on_output, modules_with_outputs


class NonFiniteSearch:
    """Search that follows a training step: the batch, the outputs of modules, the loss, and each operation of backward.

    Between `start` and `end`, all modules and operations are searched, so that a step takes several times as long. The
    numbers stay the same.

    Example::

        search.start(module)
        search.search_batch(batch)
        is_finite = search.search_loss(loss)  # before `loss.backward()`
        names = search.search_gradients(module)  # after it
        print(search.origin)
    """

    def __init__(self) -> None:
        self.origin = ""  # where the first value was found; empty if there is none
        self._ends: list[Callable[[], None]] = []

    def start(self, module: nn.Module) -> None:
        """Search the outputs of modules in training."""
        # Anomaly mode records where each operation was called; the trainer ends it. The hooks below look for NaN
        # themselves, because torch would raise before a parameter can be named.
        torch.autograd.set_detect_anomaly(True, check_nan=False)
        for name, part in modules_with_outputs(module):
            if name:
                self._ends.append(call_on_output(part, partial(self._search_output, module, name, part)))

    def end(self) -> None:
        """Search no longer."""
        for end in self._ends:
            end()
        self._ends = []

    def search_batch(self, batch: object) -> None:
        """Search a batch, of any structure."""
        bad = [name or "the tensor" for name, value in named_tensors(batch) if not is_finite(value)]
        self.origin = f"the batch: {', '.join(bad)} is not finite" if bad else ""

    def search_loss(self, loss: Tensor) -> bool:
        """Return whether the loss is finite; then backward is searched, and the origin must be in it."""
        if not is_finite(loss):
            return False
        self.origin = ""
        for node in _nodes(loss.grad_fn):
            node.register_hook(partial(self._search_gradient, node))
        return True

    def search_gradients(self, module: nn.Module) -> list[str]:
        """Return the names of the parameters whose gradients are not finite."""
        return [name for name, p in module.named_parameters() if p.grad is not None and not is_finite(p.grad)]

    def _search_output(self, root: nn.Module, name: str, module: nn.Module, output: object) -> None:
        if root.training and not self.origin and not is_finite(output):
            weights = [f"{name}.{own}" for own, p in module.named_parameters(recurse=False) if not is_finite(p)]
            reason = f", whose parameter {weights[0]} is not finite" if weights else ""
            self.origin = f"{name} ({type(module).__name__}){reason}"

    def _search_gradient(self, node: Node, inputs: object, outputs: object) -> None:
        if not self.origin and not is_finite(inputs):
            self.origin = f"{node.name()}{_call_site(node)}"


def is_finite(tensors: object) -> bool:
    """Return whether all values of the tensors in a structure are finite."""
    found = (tensor for _, tensor in named_tensors(tensors) if tensor.is_floating_point() or tensor.is_complex())
    return all(bool(dense_values(tensor).isfinite().all()) for tensor in found)


def dense_values(tensor: Tensor) -> Tensor:
    """Return the values of a tensor; of a sparse one, such as the gradient of an embedding, those that are stored."""
    return tensor.detach().coalesce().values() if tensor.is_sparse else tensor.detach()


def describe_gradients(names: list[str]) -> str:
    """Return which gradients are not finite, in a few words."""
    others = f" and those of {len(names) - 1} other parameters are" if len(names) > 1 else " is"
    return f"the gradient of {names[0]}{others} not finite"


def _nodes(root: Node | None) -> Iterator[Node]:
    """Yield the operations from which a tensor was computed, given its `grad_fn`."""
    waiting, seen = [root], set[Node]()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [parent for parent, _ in node.next_functions]


def _call_site(node: Node) -> str:
    """Return where an operation was called: the innermost line that is no library's."""
    metadata: Any = node.metadata  # a dict, whatever its annotation says
    calls = [line.strip() for line in metadata.get("traceback_", [])]
    own = [call for call in calls if not is_library(Path(call.partition('"')[2].partition('"')[0]))]
    return ", called in " + " ".join(own[-1].split()) if own else ""
