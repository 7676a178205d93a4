"""Pruning: ending a training early whose monitored value is not promising."""

from typing import Protocol


class Pruning(Protocol):
    """Decides whether a training is worth continuing; a sweep implements it."""

    def reports(self, step: int, value: float) -> str | None:
        """Take the monitored value of a validation; return why the training ends, None if it continues.

        Called on rank 0, again for the same step after a resume.

        Args:
            step: number of optimizer steps done.
            value: the monitored value.
        """
