"""The command `bisect`, from options to an exit code."""

from collections.abc import Sequence

from project.core.distributed.signals import Interruption


def main(argv: Sequence[str], interruption: Interruption | None = None) -> int:
    """Run the command."""
    raise NotImplementedError
