"""Norms of the parameters, of their gradients, and of their changes."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from project.core.training.non_finite import dense_values
from project.study.replay.step_record import ParameterRecord


class ParameterNorms:
    """Norms of the parameters from `start` to `records`: before a step, of what the optimizers got, and of the change.

    Each parameter is copied, to see its change.
    """

    def __init__(self) -> None:
        self._ends: list[Callable[[], None]] = []
        self._before: dict[str, Tensor] = {}
        self._names: dict[Tensor, str] = {}
        self._raw: dict[str, Tensor] = {}  # norms of gradients, before they are clipped
        self._gradients: dict[str, Tensor] = {}

    def start(self, module: nn.Module, optimizers: Iterable[Optimizer]) -> None:
        """Remember the parameters, and look at the steps of optimizers."""
        self._raw, self._gradients = {}, {}
        self._names = {parameter: name for name, parameter in module.named_parameters()}
        self._before = {name: parameter.detach().clone() for parameter, name in self._names.items()}
        self._ends = [optimizer.register_step_pre_hook(self._before_step).remove for optimizer in optimizers]

    def end(self) -> None:
        """Look at steps no longer."""
        for end in self._ends:
            end()
        self._ends = []

    def before_clipping(self, optimizer: Optimizer) -> None:
        """Look at the gradients of an optimizer before they are clipped."""
        self._raw |= self._norms(optimizer)

    def records(self) -> list[ParameterRecord]:
        """Return the norms, and forget the parameters before the step."""
        found = []
        for parameter, name in self._names.items():
            before = self._before[name]
            changed, norm = _norm(parameter.detach() - before).item(), _norm(before).item()
            gradient, raw = (norms[name].item() if name in norms else None for norms in (self._gradients, self._raw))
            record = ParameterRecord(name, list(parameter.shape), norm, gradient, changed / norm if norm else None, raw)
            found.append(record)
        self._before, self._names = {}, {}
        return found

    def _before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Look at the gradients that the optimizer gets: after its closure, which computes and clips them."""
        (self_, *rest), names = args, {**kwargs}
        closure = names.pop("closure", None) or (rest.pop(0) if rest else None)
        if closure is None:  # manual optimization, or 16-mixed: the gradients are there
            self._gradients |= self._norms(optimizer)
            return None

        def call() -> Any:
            loss = closure()
            self._gradients |= self._norms(optimizer)
            return loss

        return (self_, call, *rest), names

    def _norms(self, optimizer: Optimizer) -> dict[str, Tensor]:
        """Return the norms of the gradients; an optimizer that divides them by the scale of 16-mixed has it."""
        scale = getattr(optimizer, "grad_scale", None)
        own = (parameter for group in optimizer.param_groups for parameter in group["params"])
        norms = {self._names[p]: _norm(p.grad) for p in own if p.grad is not None and p in self._names}
        return {name: norm / scale if isinstance(scale, Tensor) else norm for name, norm in norms.items()}


def _norm(tensor: Tensor) -> Tensor:
    values = dense_values(tensor)
    norm: Tensor = torch.linalg.vector_norm(values if values.is_complex() else values.float())
    return norm
