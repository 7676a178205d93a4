"""The directory ROOT/SWEEP: locks, and what became of each run."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project.core.files import write_text
from project.study.sweep.plan import PlannedRun

_STATE = ".sweep"  # directory of what the sweep itself keeps


class SweepDirectory:
    """Directory of the runs of a sweep.

    Args:
        path: ROOT/SWEEP.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Create the directory."""
        (self.path / _STATE).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """In the `with` block, no other worker claims a run or decides a trial."""
        opened = self._lock("sweep", wait=True)
        assert opened is not None
        try:
            yield
        finally:
            os.close(opened)

    def claim(self, run: PlannedRun) -> int | None:
        """Lock a run; return an open file that holds the lock, None if another worker holds it."""
        return self._lock(run.name, wait=False)

    def state(self, run: PlannedRun) -> str:
        """Return new, running, stopped, finished, pruned or failed; a running one that can be claimed was killed."""
        for file in (self._record(run), self.path / run.name / "summary.json"):
            if file.is_file():
                return str(json.loads(file.read_text(encoding="utf-8"))["state"])
        return "new"

    def record_failure(self, run: PlannedRun, reason: str) -> None:
        """Record a run that failed, which may have no directory."""
        write_text(self._record(run), json.dumps({"state": "failed", "reason": reason}) + "\n")

    def log(self, run: PlannedRun) -> Path:
        """Return the file of what a run prints."""
        return self.path / _STATE / f"{run.name}.txt"

    def _record(self, run: PlannedRun) -> Path:
        return self.path / _STATE / f"{run.name}.json"

    def _lock(self, name: str, wait: bool) -> int | None:
        opened = os.open(self.path / _STATE / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(opened)
            return None
        return opened
