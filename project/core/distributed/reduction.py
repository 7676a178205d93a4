"""Reduction of integers over all ranks."""

import sys
from datetime import timedelta

import pytorch_lightning as pl
import torch
from torch.distributed import ProcessGroup, Work


class MaxReducer:
    """Maximum of integers over all ranks, on the CPU (gloo): no rank waits for a GPU.

    All ranks make the same calls in the same order.

    Args:
        timeout: how long ranks wait for each other; None takes torch's default.

    Example::

        (signal,) = reducer.reduce(trainer, number)  # waits
        (signal,) = reducer.reduce_delayed(trainer, number)  # the result of the previous call
    """

    def __init__(self, timeout: timedelta | None = None) -> None:
        self.timeout = timeout
        self._group: ProcessGroup | None = None
        self._pending: tuple[Work, torch.Tensor] | None = None

    def reduce(self, trainer: pl.Trainer, *values: int) -> list[int]:
        """Return the maximum of each value over all ranks."""
        self.reduce_delayed(trainer, *values)
        return self._take_pending() if self._pending else list(values)

    def reduce_delayed(self, trainer: pl.Trainer, *values: int) -> list[int]:
        """Start a reduction of these values; return the result of the previous call, zeros at the first.

        With one process the result is these values.
        """
        if trainer.world_size == 1:
            return list(values)
        previous = self._take_pending() if self._pending else [0] * len(values)
        if self._group is None:
            self._group = torch.distributed.new_group(backend="gloo", timeout=self.timeout)
        tensor, maximum = torch.tensor(values), torch.distributed.ReduceOp.MAX
        self._pending = (torch.distributed.all_reduce(tensor, maximum, self._group, async_op=True), tensor)
        return previous

    def _take_pending(self) -> list[int]:
        assert self._pending is not None
        (work, tensor), self._pending = self._pending, None
        work.wait()
        values: list[int] = tensor.tolist()
        return values


def barrier_on_exit() -> None:
    """Wait for the other ranks of an interrupted run: when the first one exits, the launcher kills the others."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        try:
            torch.distributed.barrier()
        except RuntimeError as error:
            print(f"another process did not end with this one: {error}", file=sys.stderr)
