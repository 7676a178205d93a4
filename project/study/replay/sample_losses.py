"""Each sample's loss, where the loss of a batch is the mean over its samples."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from project.core.data.tensors import Tensors, batch_size, named_tensors
from project.core.errors import first_line
from project.core.model.module import SupervisedModule

LossValues = Callable[[Tensors, Tensors], Tensors]
_METHODS = ("training_step", "loss_values")
_UNKNOWN = "losses of samples are unknown"
_MAX_ROWS = 20_000  # a loss is called for each of them, which takes seconds
_TOLERANCES = {torch.bfloat16: 2e-2, torch.float16: 2e-3}


@dataclass
class BatchLosses:
    """Losses of a batch.

    Args:
        values: by name, with their weighted sum as `sum`.
        rows: values of the samples, by the names of those whose mean over the samples is the loss.
        note: why there are none.
    """

    values: dict[str, float] = field(default_factory=dict)
    rows: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""


class SampleLosses:
    """Losses of the samples of each batch, from the very tensors of which the step computes its loss.

    They are computed while `training_step` runs, on copies of the losses and tensors and without a gradient; random
    number generators are set back. So the step remains the same.
    """

    def __init__(self) -> None:
        self.last = BatchLosses()
        self._module: Any = None
        self._copies: Mapping[str, Any] = {}

    def start(self, module: Any) -> None:
        """Look at the losses that a module computes.

        A module with a `training_step` or `loss_values` of its own may compute anything: there, no loss is divided.
        """
        own = [name for name in _METHODS if getattr(type(module), name, None) is not getattr(SupervisedModule, name)]
        self.last = BatchLosses(note=f"{_UNKNOWN}: {type(module).__name__} has its own {own[0]}" if own else "")
        if own:
            return
        try:
            self._copies = deepcopy(module.loss_terms)
        except Exception as error:  # whatever the user's losses contain
            self.last.note = f"{_UNKNOWN}: the losses cannot be copied: {first_line(error)}"
            return
        self._module = module
        vars(module)["loss_values"] = partial(self._compute, module.loss_values)

    def end(self) -> None:
        """Look at the losses no longer."""
        if self._module is not None:
            vars(self._module).pop("loss_values", None)
        self._module = None

    def _compute(self, compute: LossValues, batch: Tensors, output: Tensors) -> Tensors:
        if not self._module.training:  # a validation between accumulated batches
            return compute(batch, output)
        rows, note = self._rows(compute, batch, output)  # first: a loss may change its tensors in place
        values = compute(batch, output)
        self.last = BatchLosses({name: value.item() for name, value in values.items()}, note=note)
        for name, value in values.items():
            parts = [row[name].item() for row in rows if name in row]
            if parts and len(parts) == len(rows) and _is_close(sum(parts) / len(parts), value):
                self.last.rows[name] = parts
        return values

    def _rows(self, compute: LossValues, batch: Tensors, output: Tensors) -> tuple[list[Tensors], str]:
        """Return the losses of each sample, or why there are none."""
        own, attributes = self._module.loss_terms, vars(self._module)
        attributes["loss_terms"] = self._copies
        try:
            count = batch_size(batch)
            if count > _MAX_ROWS:
                return [], f"{_UNKNOWN}: a batch has {count} samples, more than {_MAX_ROWS}"
            device = next(value.device for _, value in named_tensors(batch))
            with isolate_rng(), torch.no_grad(), _without_cache(device.type):
                return [compute(_row(batch, row, count), _row(output, row, count)) for row in range(count)], ""
        except Exception as error:  # a loss that needs several samples may raise anything
            return [], f"{_UNKNOWN}: of a single sample, {first_line(error)}"
        finally:
            attributes["loss_terms"] = own


def _is_close(mean: float, value: Tensor) -> bool:
    """Return whether a mean is a loss, but for rounding, which also decides between infinite and NaN."""
    loss = value.item()
    if not (math.isfinite(mean) and math.isfinite(loss)):
        return math.isfinite(mean) == math.isfinite(loss)
    return math.isclose(mean, loss, rel_tol=_TOLERANCES.get(value.dtype, 1e-4), abs_tol=1e-7)


def _row(tensors: Mapping[str, Any], row: int, count: int) -> dict[str, Any]:
    """Return a batch of one of the samples; what has no row for each of them is kept whole."""

    def take(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: take(part) for name, part in value.items()}
        has_rows = (isinstance(value, Tensor) and value.ndim > 0) or isinstance(value, list | tuple)
        taken = value[row : row + 1] if has_rows and len(value) == count else value
        return taken.clone() if isinstance(taken, Tensor) else taken

    return {name: take(value) for name, value in tensors.items()}


@contextmanager
def _without_cache(device: str) -> Iterator[None]:
    """Let autocast keep no weight that it casts in the `with` block: without a gradient, the step could not use it."""
    dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
    with torch.autocast(device, dtype, enabled, cache_enabled=False):
        yield
