"""Statistics of the outputs of all modules."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from project.core.data.tensors import named_tensors
from project.core.training.lightning_internals.outputs import call_on_output, modules_with_outputs
from project.core.training.non_finite import dense_values
from project.study.replay.step_record import ActivationRecord

_MAX_OUTPUTS = 20_000  # of a step: a recurrent net may call a cell for each of many time steps


class ActivationStatistics:
    """Statistics of the floating-point outputs of modules, from `start` to `end`.

    They stay on the device until `records` is called, so that the device need not be waited for.
    """

    def __init__(self) -> None:
        self.is_paused = False  # while activations are computed again in backward
        self._ends: list[Callable[[], None]] = []
        self._calls: Counter[str] = Counter()
        self._found: list[tuple[ActivationRecord, Tensor]] = []

    def start(self, root: nn.Module) -> None:
        """Look at the outputs of the modules in a module, while it trains."""
        self._calls, self._found = Counter(), []
        for name, module in modules_with_outputs(root):
            if name:
                self._ends.append(call_on_output(module, partial(self._add, root, name, type(module).__name__)))

    def end(self) -> None:
        """Look at outputs no longer."""
        for end in self._ends:
            end()
        self._ends = []

    def records(self) -> list[ActivationRecord]:
        """Return what was found, in the order of the calls."""
        for record, statistics in self._found:
            record.mean, record.std, record.maximum, record.zeros, bad = statistics.tolist()
            record.non_finite = int(bad)
        records = [record for record, _ in self._found]
        return records

    @property
    def is_full(self) -> bool:
        """Whether more outputs were computed than are kept."""
        return len(self._found) >= _MAX_OUTPUTS

    @torch.no_grad()
    def _add(self, root: nn.Module, name: str, kind: str, output: object) -> None:
        if self.is_paused or self.is_full or not root.training:
            return
        for part, tensor in named_tensors(output):
            if tensor.is_floating_point() and tensor.numel():
                record = ActivationRecord(
                    name, kind, self._calls[name], list(tensor.shape), 0.0, 0.0, 0.0, 0.0, 0, part
                )
                self._found.append((record, _statistics(dense_values(tensor))))
        self._calls[name] += 1


def _statistics(tensor: Tensor) -> Tensor:
    """Return mean, standard deviation, largest absolute value, share of zeros, and number of non-finite values."""
    values = tensor.float()
    std, mean = torch.std_mean(values, correction=0)
    zeros, bad = (values == 0).float().mean(), (~values.isfinite()).sum().float()
    return torch.stack([mean, std, values.abs().max(), zeros, bad])
