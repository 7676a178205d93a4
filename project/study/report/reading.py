"""Runs and their curves, read again only when their files have changed."""

import os
from collections.abc import Iterator
from pathlib import Path

from project.study.events import Curves, read_curves
from project.study.runs import RunRow, read_run

_DEPTH = 3  # RUN/eval/test/metrics.json


def stamp_run(run: Path) -> str:
    """Return a text that changes when a file of a run does, except for checkpoints."""
    return "\n".join(sorted(_describe(run, _DEPTH)))


def _describe(directory: Path, depth: int) -> Iterator[str]:
    try:
        entries = [*os.scandir(directory)]
    except OSError:
        return  # deleted meanwhile, or somebody else's
    for entry in entries:
        if entry.name.startswith(".") or entry.name in ("checkpoints", "report.html"):
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth > 1:
                yield from _describe(Path(entry.path), depth - 1)
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        yield f"{entry.path} {status.st_size} {status.st_mtime_ns} {status.st_ino}"


class RunReader:
    """Reads runs, and remembers them until their files change.

    Example::

        row, curves = RunReader().read(Path("experiments/digits"))
    """

    def __init__(self) -> None:
        self._read: dict[Path, tuple[str, RunRow, Curves]] = {}

    def read(self, run: Path) -> tuple[RunRow, Curves]:
        """Return a run and its curves."""
        stamp = stamp_run(run)  # first: what changes while it is read is read again
        known = self._read.get(run)
        if known is None or known[0] != stamp:
            known = self._read[run] = (stamp, read_run(run), read_curves(run))
        return known[1:]

    def keep(self, runs: list[Path]) -> None:
        """Forget all runs but these."""
        self._read = {run: self._read[run] for run in runs if run in self._read}
