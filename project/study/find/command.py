"""The command `find`, from options to an exit code."""

from collections.abc import Sequence

from project.core.cli.main import report_error
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError


def main(argv: Sequence[str], interruption: Interruption | None = None) -> int:
    """Find lr or batch_size.

    Args:
        argv: `find`, what to find, and options such as those of `fit`.
        interruption: receives the signals that ask the command to stop.
    """
    try:
        raise ConfigError("find is not built yet")
    except BaseException as error:
        return report_error(error)
