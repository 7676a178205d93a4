"""The directory ROOT/SWEEP: locks, and what became of each run."""

import errno
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from loguru import logger

from project.core.errors import ConfigError
from project.core.files import write_text
from project.study.files import parse_json, read_file
from project.study.runs import STATE
from project.study.sweep.plan import PlannedRun

try:
    import fcntl
except ImportError:  # Windows, where a sweep has one worker
    fcntl = None  # type: ignore[assignment]

HAS_LOCKS = fcntl is not None
DONE = ("finished", "pruned", "failed")
_DYING_TIME, _POLL = 10.0, 0.02  # seconds
_MAX_DIGITS = 9  # of the number of a process


class SweepDirectory:
    """Directory of the runs of a sweep.

    Of each run it keeps `.sweep/NAME.json`: `state` (begun, or one of DONE), `reason` (why it failed, or null) and
    `digests` (of the code and data with which it began); and NAME.txt, what it printed.

    Args:
        path: ROOT/SWEEP.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Create the directory."""
        (self.path / STATE).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """In the `with` block, no other worker claims a run or decides a trial."""
        opened = self._lock("sweep", waits=True)
        assert opened is not None
        try:
            yield
        finally:
            os.close(opened)

    def claim(self, run: PlannedRun) -> int | None:
        """Lock a run; return an open file that holds the lock, None if another worker holds it.

        A process that is forked meanwhile holds it as well: the training of a worker that was killed, which ends soon.
        This waits for it, since a worker that goes on with another trial would draw other values.
        """
        deadline = time.monotonic() + _DYING_TIME
        while True:
            opened = self._lock(run.name, waits=False)
            if opened is not None and not self._is_trained(run):
                os.truncate(opened, 0)
                os.write(opened, _own_name().encode())
                return opened
            if opened is not None:
                os.close(opened)
            if time.monotonic() > deadline or not self._has_dead_owner(run):
                return None
            time.sleep(_POLL)

    def begun(self) -> set[str]:
        """Return the names of the runs that a worker has begun."""
        return {entry.name.removesuffix(".json") for entry in os.scandir(self.path / STATE)}

    def state(self, run: PlannedRun) -> str:
        """Return new, running, stopped, finished, pruned or failed; `running` if it was killed or is not yet tested."""
        state = self._read(run).get("state")
        if state in ("finished", "pruned") and not (self.path / run.name).is_dir():
            return "new"  # its directory was removed, so that it is trained again
        if state in DONE:
            return str(state)
        own = self.summary(run).get("state", "running" if state else "new")
        return {"failed": "stopped", "finished": "running"}.get(str(own), str(own))

    def summary(self, run: PlannedRun) -> dict[str, Any]:
        """Return what RUN/summary.json contains; nothing if it is not there or damaged."""
        return _read_json(self.path / run.name / "summary.json")

    def digests(self, run: PlannedRun) -> dict[str, str]:
        """Return the digests with which a run began; empty if it did not."""
        digests = self._read(run).get("digests")
        return digests if isinstance(digests, dict) else {}

    def record_start(self, run: PlannedRun, digests: Mapping[str, str]) -> None:
        """Record that a run begins with these digests; a run that has a checkpoint keeps those of its beginning."""
        is_resumed = any((self.path / run.name / "checkpoints").glob("*.ckpt"))
        before = self.digests(run) if is_resumed else {}
        self._write(run, {"state": "begun", "reason": None, "digests": before or dict(digests)})

    def record_end(self, run: PlannedRun, state: str, reason: str | None = None) -> None:
        """Record that nothing is left to do for a run, which may have no directory if it failed.

        Args:
            run: the run.
            state: one of DONE.
            reason: why it failed.
        """
        self._write(run, self._read(run) | {"state": state, "reason": reason})

    def forget_failure(self, run: PlannedRun) -> None:
        """Let a failed run be started again."""
        self._write(run, self._read(run) | {"state": "begun", "reason": None})

    def log(self, run: PlannedRun) -> Path:
        """Return the file of what a run prints."""
        return self.path / STATE / f"{run.name}.txt"

    def _read(self, run: PlannedRun) -> dict[str, Any]:
        return _read_json(self.path / STATE / f"{run.name}.json")

    def _write(self, run: PlannedRun, record: Mapping[str, Any]) -> None:
        write_text(self.path / STATE / f"{run.name}.json", json.dumps(record) + "\n")

    def _has_dead_owner(self, run: PlannedRun) -> bool:
        """Return whether the worker that locked a run last was one of this machine, and has ended."""
        owner = (self.path / STATE / f"{run.name}.lock").read_text(encoding="utf-8", errors="replace")
        machine, _, process = owner.partition(" ")
        if machine != socket.gethostname() or not process.isdecimal() or len(process) > _MAX_DIGITS:
            return False
        try:
            os.kill(int(process), 0)  # sends nothing
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def _is_trained(self, run: PlannedRun) -> bool:
        """Return whether a process trains in the run directory: started by hand, or by a worker that was killed."""
        if not HAS_LOCKS:
            return False
        try:
            opened = os.open(self.path / run.name, os.O_RDONLY)
        except OSError:
            return False
        try:
            return not lock_file(opened, waits=False)
        except OSError:  # NFS locks no directories; there, the lock of the sweep is the only one
            return False
        finally:
            os.close(opened)

    def _lock(self, name: str, waits: bool) -> int | None:
        file = self.path / STATE / f"{name}.lock"
        if file.is_symlink():  # to a file that would be emptied
            raise ConfigError(f"{file} is a link; remove it")
        opened = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        if HAS_LOCKS and not lock_file(opened, waits):
            os.close(opened)
            return None
        return opened


def _own_name() -> str:
    return f"{socket.gethostname()} {os.getpid()}"


def lock_file(opened: int, waits: bool) -> bool:
    """Lock an open file; return whether that succeeded."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        _warn_of_missing_locks()
    return True


@cache
def _warn_of_missing_locks() -> None:
    logger.warning("the file system has no locks: start one worker at a time, or two may train the same run")


def _read_json(file: Path) -> dict[str, Any]:
    """Return the mapping in a file; an empty one if there is none, or a machine lost power while it was written."""
    try:
        content = parse_json(read_file(file))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
