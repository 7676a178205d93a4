"""A run is a folder."""

import errno
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from loguru import logger
from pytorch_lightning.utilities import rank_zero_only

from project.core.checkpoint import BEST, LAST, files_by_step
from project.core.errors import ConfigError
from project.core.files import link, write_text
from project.core.records import event_files, rewind_events

try:
    import fcntl
except ImportError:  # Windows, where two trainings at once are not noticed
    fcntl = None  # type: ignore[assignment]

# A loader's workers may outlive a process that was killed; the folder must be free all the same.
_held: set[int] = set()


def _close_held() -> None:
    for opened in _held:
        os.close(opened)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_held)

_JOBS = "slurm.txt"  # the numbers of the jobs that trained in a folder
_JOB = """#!/usr/bin/env bash
# Runs {name} again, under the name {name}_rerun; further options may follow. May be given to sbatch, too.
# Written {time}, commit {commit}
#SBATCH --ntasks-per-node=1 --requeue --open-mode=append --signal=USR1@120
set -e
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
[ -f "$here/config.yaml" ] || here={run}  # sbatch runs a copy of this file
cd {folder}
set -- --config "$here/config.yaml" --name {name}_rerun {options}"$@"
# In a job, but not in one of its steps or in a shell on a node.
if [ -n "${{SLURM_PROCID:-}}" ] && [ -z "${{SLURM_STEP_ID:-}}" ]; then exec bash scripts/slurm.sh "$@"; fi
exec python cli.py fit "$@"
"""


class RunFolder:
    """`ROOT/NAME`, which holds a run once it has a checkpoint. Only rank 0 looks and writes.

    Raises:
        ConfigError: the name is not that of a folder.
    """

    def __init__(self, root: str, name: str) -> None:
        if not name or Path(name).name != name or name.startswith("."):
            raise ConfigError(f"name is '{name}'; it must be the name of a folder, without slashes or a leading dot")
        self.root = Path(root).absolute()
        self.path = self.root / name
        self._shelf = self.root / ".old"
        self._shelved: Path | None = None
        self._made: list[Path] = []
        self._lock: int | None = None
        self._events: list[Path] = []

    @rank_zero_only
    def refuse_if_taken(self, replace: bool) -> None:
        """Raises ConfigError where the folder holds a run that must not be replaced."""
        if self._holds_run() and not replace:
            raise ConfigError(
                f"{self.path} holds a run already: take another --name, or --replace to move it to {self._shelf}"
            )

    @rank_zero_only
    def claim(self, config: str, replace: bool, begins_with: tuple[str, ...] = ()) -> None:
        """Makes the folder, with config.yaml and job.sh in it; what was there goes to ROOT/.old/.

        Args:
            config: the whole configuration as yaml.
            replace: whether a run may be moved away.
            begins_with: the option that says where the first weights come from, and its value.

        Raises:
            ConfigError: it holds a run that must not be replaced, or another process trains in it.
        """
        try:
            self._make(self.root)
        except OSError as error:
            raise ConfigError(f"root {self.root} cannot be made: {error}") from error
        root = _lock(self.root, wait=True)  # one process at a time looks and moves
        try:
            if self.path.exists():
                os.close(_lock(self.path, wait=False))
                self.refuse_if_taken(replace)
                self._shelve()
            self._make(self.path)
            self._hold()
        finally:
            os.close(root)
        write_text(self.path / "config.yaml", config)
        self._write_job(begins_with)
        _note_job(self.path, os.environ)

    @rank_zero_only
    def enter(self) -> None:
        """Takes the folder of a run that goes on; nothing in it changes before `go_on`.

        Raises:
            ConfigError: another process trains in it.
        """
        self._hold()
        self._events = event_files(self.path / "event")

    @rank_zero_only
    def branch(self, checkpoint: Path, name: str) -> None:
        """Begins the claimed folder with a checkpoint of another run, under a name of this one's."""
        for target in (name, LAST):
            link(checkpoint, self.path / "checkpoints" / target)

    @rank_zero_only
    def go_on(self, config: str, checkpoint: Path, name: str, step: int, event_sizes: dict[str, int]) -> None:
        """Takes the entered folder back to when one of its checkpoints was written.

        Checkpoints of later steps, damaged ones among them, go to RUN/.old/ with a copy of what TensorBoard showed.
        Files that were not finished are removed.

        Args:
            config: the whole configuration as yaml, written beside the old one.
            checkpoint: what the run goes on from.
            name: what a checkpoint of its step is called.
            step: its step.
            event_sizes: TensorBoard's files as they were.
        """
        earlier = [*self.path.glob("config.resume*.yaml"), *(self.path / ".old").glob("resume*")]
        number = 1 + max((int(path.stem.rpartition("resume")[2]) for path in earlier), default=0)
        write_text(self.path / f"config.resume{number}.yaml", config)
        _note_job(self.path, os.environ)
        folder = checkpoint.parent
        for unfinished in folder.glob(".*.ckpt.*"):
            unfinished.unlink()
        for target in (name, LAST):
            link(checkpoint, folder / target)
        later = [path for path, of in files_by_step(folder).items() if of > step]
        if later:
            shelf = self.path / ".old" / f"resume{number}"
            (shelf / "event").mkdir(parents=True)
            for file in self._events:
                shutil.copy(file, shelf / "event")
            for path in [*later, folder / BEST]:
                if path.exists() and not path.samefile(checkpoint):
                    path.rename(shelf / path.name)
        rewind_events(self._events, event_sizes)

    @rank_zero_only
    def discard(self) -> None:
        """Takes `claim` back, for a run that a mistake of the user's ended before its first step."""
        if self._lock is None or self._holds_run():
            return
        shutil.rmtree(self.path)
        if self._shelved is not None:
            self._shelved.rename(self.path)
        for folder in reversed(self._made):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def release(self) -> None:
        """Lets other processes have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            _held.discard(self._lock)
            self._lock = None

    def _hold(self) -> None:
        self._lock = _lock(self.path, wait=False)
        _held.add(self._lock)

    def _holds_run(self) -> bool:
        return any((self.path / "checkpoints").glob("*.ckpt"))

    def _make(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._made += reversed(missing)

    def _shelve(self) -> None:
        self._make(self._shelf)
        numbers = [path.name.rpartition(".")[2] for path in self._shelf.glob(f"{self.path.name}.*")]
        number = 1 + max((int(number) for number in numbers if number.isdigit()), default=0)
        self._shelved = self.path.rename(self._shelf / f"{self.path.name}.{number}")
        logger.info(f"what was in {self.path} is in {self._shelved} now")

    def _write_job(self, begins_with: tuple[str, ...]) -> None:
        commit = _git("rev-parse", "HEAD").strip() or "unknown (not a git checkout)"
        difference = _difference()
        if difference:
            write_text(self.path / "git.diff", difference)
            commit = f"{commit} with the changes of git.diff"
        text = _JOB.format(
            name=shlex.quote(self.path.name),
            time=datetime.now().isoformat(" ", "seconds"),
            commit=commit,
            run=shlex.quote(str(self.path)),
            folder=shlex.quote(str(Path.cwd())),
            options="".join(f"{shlex.quote(word)} " for word in begins_with),
        )
        write_text(self.path / "job.sh", text)


def is_of_job(folder: Path, environment: Mapping[str, str]) -> bool:
    """Whether this job of Slurm's has saved something there, before it was started again."""
    jobs = folder / _JOBS
    known = jobs.read_text(encoding="utf-8").split() if jobs.is_file() else []
    return environment["SLURM_JOB_ID"] in known and any((folder / "checkpoints").glob("*.ckpt"))


def _note_job(folder: Path, environment: Mapping[str, str]) -> None:
    job, jobs = environment.get("SLURM_JOB_ID"), folder / _JOBS
    if job is not None:
        known = jobs.read_text(encoding="utf-8").split() if jobs.is_file() else []
        write_text(jobs, "".join(f"{each}\n" for each in dict.fromkeys([*known, job])))


def _lock(folder: Path, wait: bool) -> int:
    """An open file that holds the folder's lock: two trainings that write one folder would spoil each other's files."""
    if fcntl is None:
        return os.open(os.devnull, os.O_RDONLY)
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        os.close(opened)
        raise ConfigError(f"{folder} is being written by a run that goes on: take another --name") from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):  # a file system without locks
            raise
    return opened


def _difference() -> str:
    """What differs from the commit, new files included; the index stays as it is."""
    index = Path(_git("rev-parse", "--git-path", "index").strip())
    if not index.is_file():
        return ""
    with tempfile.TemporaryDirectory() as folder:
        copied = shutil.copy(index, folder)
        _git("add", "--intent-to-add", ".", index=copied)
        return _git("diff", "HEAD", index=copied)


def _git(*arguments: str, index: str | None = None) -> str:
    """What git prints; nothing outside a repository."""
    environment = os.environ | ({"GIT_INDEX_FILE": index} if index else {})
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, errors="replace", env=environment)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""
