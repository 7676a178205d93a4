"""A large file, written to the disk past the page cache."""

import mmap
import os
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

if sys.platform == "linux":
    import fcntl

_ROOM = 4 * 2**20  # bytes that are written at once: whole blocks of any disk


class DirectFile:
    """A new file, which is on the disk when it is closed.

    To copy it into the page cache and to write that later would take a core that a training beside it has work for. The
    end, which is no whole room, goes that way all the same, and so does everything where the file system has no other.

    Args:
        path: where to.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        # It begins with a page, as it must, and is shared memory: a fork in the middle of a write does no harm.
        self._room = mmap.mmap(-1, _ROOM)
        self._bytes = np.frombuffer(self._room, dtype=np.uint8)
        self._filled = 0
        self._direct = False
        self._set_direct(True)

    def write(self, data: bytes | memoryview) -> int:
        """Adds bytes, and returns how many."""
        rest = given = np.frombuffer(data, dtype=np.uint8)
        while len(rest):
            piece = rest[: _ROOM - self._filled]
            self._bytes[self._filled : self._filled + len(piece)] = piece  # numpy lets other threads go on meanwhile
            self._filled += len(piece)
            rest = rest[len(piece) :]
            if self._filled == _ROOM:
                self._drain()
        return len(given)

    def flush(self) -> None:
        """Nothing yet: what is no whole block is written at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._file:
            if error is None:
                self._set_direct(False)
                self._drain()
                os.fsync(self._file.fileno())

    def _drain(self) -> None:
        rest = memoryview(self._room)[: self._filled]
        while rest:
            try:
                rest = rest[os.write(self._file.fileno(), rest) :]
            except OSError:
                if not self._direct:
                    raise
                self._set_direct(False)  # if that was not the reason, it comes again
        self._filled = 0

    def _set_direct(self, direct: bool) -> None:
        if sys.platform == "linux" and direct != self._direct:
            flags = fcntl.fcntl(self._file, fcntl.F_GETFL)
            with suppress(OSError) if direct else nullcontext():  # some file systems have only the cache
                fcntl.fcntl(self._file, fcntl.F_SETFL, flags | os.O_DIRECT if direct else flags & ~os.O_DIRECT)
                self._direct = direct
