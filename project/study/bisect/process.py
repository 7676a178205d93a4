"""A replay in a process of its own, with a run's own code."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from project.core.errors import shorten
from project.study.bisect.checkout import WORKER
from project.study.files import read_file

_MOST = 3  # lines of an error
# Bytes of a directory for temporary files: workers of DataLoaders put sockets there, whose paths have at most 103 on
# macOS, 107 on Linux; multiprocessing adds /pymp-XXXXXXXX/listener-XXXXXXXX.
_LONGEST = 103 - 32


class ReplayFailed(Exception):
    """A replay failed; the message says why."""


@dataclass(frozen=True)
class Request:
    """A replay to be done.

    Args:
        run: the run directory.
        first: the first step of interest.
        last: the last step.
        output: directory for what the replay finds out.
        trusts: whether the run's configuration may name anything.
        code: directory with the package that the run was trained with; None for the present one.
    """

    run: Path
    first: int
    last: int
    output: Path
    trusts: bool = False
    code: Path | None = None

    @property
    def argv(self) -> list[str]:
        """The arguments of the worker."""
        numbers = [self.first, self.last]
        return [str(self.run.absolute()), *map(str, numbers), str(self.output), *(["--trust"] if self.trusts else [])]


def replay_in_process(request: Request) -> None:
    """Replay steps in a new process, which ends with this one.

    Raises:
        ReplayFailed: it failed.
    """
    paths = [*([str(request.code)] if request.code else []), *(path for path in sys.path if path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    if len(os.fsencode(request.output)) <= _LONGEST:
        # Whatever it writes to temporary directories is removed with the output, also after it was killed.
        environment["TMPDIR"] = str(request.output)
    log = request.output / "log.txt"
    with log.open("wb") as file:
        # -P: the working directory, where data is looked for, may contain another version of the package.
        command: Sequence[str] = [sys.executable, "-P", "-m", WORKER, *request.argv]
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code != 0:
        raise ReplayFailed(_reason(log, code))


def _reason(log: Path, code: int) -> str:
    lines = [line for line in read_file(log).splitlines() if line.strip()]
    mistakes = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    shown = lines[mistakes[-1] :][:_MOST] if mistakes else lines[-_MOST:]
    return (
        "\n".join(shorten(line.removeprefix("error: "), 300) for line in shown) or f"its process ended with code {code}"
    )
