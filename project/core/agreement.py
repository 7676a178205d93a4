"""What the processes of a run agree on between two steps."""

import sys
from typing import Any

import pytorch_lightning as pl
import torch


class Agreement:
    """Takes the greatest of what the processes say, on their CPUs: no GPU has to be waited for."""

    def __init__(self) -> None:
        self._group: Any = None
        self._pending: tuple[Any, torch.Tensor] | None = None

    def greatest(self, trainer: pl.Trainer, *values: int) -> list[int]:
        """The greatest of each value over all processes; called by all of them at the same place."""
        self.exchange(trainer, *values)
        return self._taken() if self._pending else list(values)

    def exchange(self, trainer: pl.Trainer, *values: int) -> list[int]:
        """The greatest of what was said at the last call, 0 at the first; these values travel meanwhile.

        With one process it is these values already.
        """
        if trainer.world_size == 1:
            return list(values)
        before = self._taken() if self._pending else [0] * len(values)
        if self._group is None:
            timeout = getattr(trainer.strategy, "_timeout", None)
            self._group = torch.distributed.new_group(backend="gloo", timeout=timeout)
        tensor, greatest = torch.tensor(values), torch.distributed.ReduceOp.MAX
        self._pending = (torch.distributed.all_reduce(tensor, greatest, self._group, async_op=True), tensor)
        return before

    def _taken(self) -> list[int]:
        assert self._pending is not None
        (work, tensor), self._pending = self._pending, None
        work.wait()
        values: list[int] = tensor.tolist()
        return values


def wait_for_others() -> None:
    """Lets the processes of a run that was interrupted end together: the first to end has the others killed at once."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        try:
            torch.distributed.barrier()
        except RuntimeError as error:
            print(f"another process did not end with this one: {error}", file=sys.stderr)
