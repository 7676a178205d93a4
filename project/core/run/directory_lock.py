"""Locks of directories: two trainings in one would overwrite each other's files."""

import errno
import os
from pathlib import Path

from project.core.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows, where two trainings in one directory are not noticed
    fcntl = None  # type: ignore[assignment]

# Workers may outlive a killed process. They close their copies of the locks' files, so that the directory is free.
_open_locks: set[int] = set()


def _close_locks() -> None:
    for opened in _open_locks:
        os.close(opened)
    _open_locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_locks)


class DirectoryLock:
    """Lock of a directory, which this process holds until it is released.

    Args:
        directory: an existing directory.
        waits: whether to wait for another process that holds the lock.

    Raises:
        ConfigError: another process holds it.
    """

    def __init__(self, directory: Path, waits: bool = False) -> None:
        self._opened = os.open(directory if fcntl is not None else os.devnull, os.O_RDONLY)
        _open_locks.add(self._opened)
        if fcntl is None:
            return
        try:
            fcntl.flock(self._opened, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError as error:
            self.release()
            raise ConfigError(f"another process is training in {directory}; use a different --name") from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):  # a file system without locks
                self.release()
                raise

    def release(self) -> None:
        """Let another process have the lock."""
        _open_locks.discard(self._opened)
        os.close(self._opened)
