"""What the processes of a run agree on between two steps."""

import sys
from typing import Any

import pytorch_lightning as pl
import torch


class Agreement:
    """Takes the greatest of what the processes say, on their CPUs: no GPU has to be waited for."""

    def __init__(self) -> None:
        self._group: Any = None

    def greatest(self, trainer: pl.Trainer, *values: int) -> list[int]:
        """The greatest of each value over all processes; called by all of them at the same place."""
        if trainer.world_size == 1:
            return list(values)
        if self._group is None:
            timeout = getattr(trainer.strategy, "_timeout", None)
            self._group = torch.distributed.new_group(backend="gloo", timeout=timeout)
        tensor = torch.tensor(values)
        torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX, group=self._group)
        greatest: list[int] = tensor.tolist()
        return greatest


def wait_for_others() -> None:
    """Lets the processes of a run that was interrupted end together: the first to end has the others killed at once."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        try:
            torch.distributed.barrier()
        except RuntimeError as error:
            print(f"another process did not end with this one: {error}", file=sys.stderr)
