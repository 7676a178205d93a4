"""The check that results can be written."""

import os
from contextlib import suppress
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_only

from project.core.errors import ConfigError


@rank_zero_only
def check_writable(directory: Path, option: str = "--results_dir") -> None:
    """Check, before anything is computed, that files can be written to a directory of results, which may not exist.

    Args:
        directory: the directory.
        option: the option that sets it, for messages.

    Raises:
        ConfigError: it is no directory, cannot be created, or is read-only.
    """
    created: list[Path] = []
    try:
        created = [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(parents=True, exist_ok=True)
        is_writable = os.access(directory, os.W_OK | os.X_OK)
    except (OSError, ValueError) as error:
        raise ConfigError(f"results cannot be written to {directory}: {error}; set {option}") from error
    finally:
        for path in created:
            with suppress(OSError, ValueError):  # it was not created
                path.rmdir()
    if not is_writable:
        raise ConfigError(f"results cannot be written to {directory}: it is read-only; set {option}")
