"""A run is a folder."""

import fcntl
import os
import shlex
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_only

from project.core.errors import ConfigError
from project.core.files import write_text

_JOB = """#!/usr/bin/env bash
# Runs {name} again, under the name {name}_rerun; further options may follow.
# Written {time}, commit {commit}
set -e
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
cd {folder}
python cli.py fit --config "$here/config.yaml" --name {name}_rerun "$@"
"""


class RunFolder:
    """`ROOT/NAME`, which holds a run once it has a checkpoint. Only rank 0 looks and writes.

    Raises:
        ConfigError: the name is not that of a folder.
    """

    def __init__(self, root: str, name: str) -> None:
        if not name or Path(name).name != name or name.startswith("."):
            raise ConfigError(f"name is '{name}'; it must be the name of a folder, without slashes or a leading dot")
        self.path = Path(root).absolute() / name
        self._shelf = self.path.parent / ".old"
        self._shelved: Path | None = None
        self._lock: int | None = None

    @rank_zero_only
    def refuse_if_taken(self, replace: bool) -> None:
        """Raises ConfigError where the folder holds a run that must not be replaced."""
        checkpoints = list((self.path / "checkpoints").glob("*.ckpt"))
        if checkpoints and not replace:
            raise ConfigError(
                f"{self.path} holds a run already: take another --name, or --replace to move it to {self._shelf}"
            )

    @rank_zero_only
    def claim(self, config: str) -> None:
        """Makes the folder, with config.yaml and job.sh in it; whatever was there goes to ROOT/.old/."""
        self._lock_or_refuse()
        if self.path.exists():
            taken = [
                int(number) for path in self._shelf.glob("*") if (number := path.name.rpartition(".")[2]).isdigit()
            ]
            self._shelved = self._shelf / f"{self.path.name}.{max(taken, default=0) + 1}"
            self._shelf.mkdir(exist_ok=True)
            self.path.rename(self._shelved)
            self.release()
        self.path.mkdir(parents=True)
        self._lock_or_refuse()
        write_text(self.path / "config.yaml", config)
        self._write_job()

    def discard(self) -> None:
        """Takes `claim` back, for a run that a mistake of the user's ended before it had a checkpoint."""
        if self._lock is None or list((self.path / "checkpoints").glob("*.ckpt")):
            return
        shutil.rmtree(self.path)
        if self._shelved is not None:
            self._shelved.rename(self.path)
        if self._shelf.is_dir() and not any(self._shelf.iterdir()):
            self._shelf.rmdir()
        if not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()

    def release(self) -> None:
        """Lets other processes have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _lock_or_refuse(self) -> None:
        """Two trainings that write one folder would spoil each other's files."""
        if not self.path.is_dir():
            return
        self._lock = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise ConfigError(f"{self.path} is being written by a run that goes on: take another --name") from error
        except OSError:
            pass  # a file system without locks

    def _write_job(self) -> None:
        commit = _git("rev-parse", "HEAD") or "unknown (not a git checkout)\n"
        difference = _git("diff", "HEAD")
        if difference:
            write_text(self.path / "git.diff", difference)
            commit = f"{commit.strip()} with the changes of git.diff"
        text = _JOB.format(
            name=shlex.quote(self.path.name),
            time=datetime.now().isoformat(" ", "seconds"),
            commit=commit.strip(),
            folder=shlex.quote(str(Path.cwd())),
        )
        write_text(self.path / "job.sh", text)


def _git(*arguments: str) -> str:
    """What git prints; nothing outside a repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, errors="replace")
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""
