"""The run directory: create, lock, archive, rewind."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from loguru import logger
from pytorch_lightning.utilities import rank_zero_only

from project.core.digest_file import DIGESTS, cut_digests
from project.core.errors import ConfigError
from project.core.file_names import check_file_name
from project.core.files import link, write_text
from project.core.run.checkpoint_files import BEST, LAST, list_by_step
from project.core.run.directory_lock import DirectoryLock
from project.core.run.git import GitState, read_git
from project.core.run.job_record import record_job
from project.core.run.job_script import write_job_script
from project.core.tensorboard import list_event_files, truncate_event_files

LOG, GIVEN = "log.txt", "given.yaml"
_KEYS = {b"name", b"root", b"model", b"data", b"trainer"}  # of every config.yaml
_MAX_CONFIG = 2**24  # bytes of a config.yaml that are read


class RunDirectory:
    """Directory ROOT/NAME of a run. Only rank 0 accesses it.

    Only the directory of a run is ever moved: one with a config.yaml that the engine wrote. A run is not lost before
    it has a checkpoint, so it is moved without `--replace`.

    Args:
        root: directory of all runs.
        name: name of the run.
    """

    def __init__(self, root: str, name: str) -> None:
        self.root, self.name = Path(root).absolute(), name
        self.path = self.root / name
        self._archive_root = self.root / ".old"
        self._archived: Path | None = None
        self._created: list[Path] = []
        self._found: set[Path] = set()  # what was in the directory before
        self._lock: DirectoryLock | None = None
        self._events: list[Path] = []
        self.git = GitState(None, None)
        self.suffix = ""  # of the names of files that each start writes

    @rank_zero_only
    def check_free(self, replace: bool) -> None:
        """Raise ConfigError if the name is not allowed, or the directory contains a run that must not be replaced.

        The name of a run that is resumed in its directory is not checked: older versions allowed others.
        """
        check_file_name(self.name, "name")
        if self._is_usable():
            return
        if not is_run(self.path):
            raise ConfigError(
                f"{self.path} is not the directory of a run (it has no config.yaml of one), so it is neither used nor "
                "moved; use another --name or --root"
            )
        if self.path.is_symlink():
            raise ConfigError(f"{self.path} is a symbolic link to a run, which is not moved; use another --name")
        if self._has_checkpoint() and not replace:
            raise ConfigError(
                f"{self.path} already contains a run; use another --name, --resume auto, or --replace to move it to "
                f"{self._archive_root}"
            )

    @rank_zero_only
    def create(self, config: str, replace: bool, options: Sequence[str] = (), given: str | None = None) -> None:
        """Create and lock the directory, with config.yaml and job.sh; that of an existing run is moved to ROOT/.old/.

        An empty directory, or one that contains only logs of Slurm, is used as it is.

        Args:
            config: the whole configuration as yaml.
            replace: whether a run may be moved.
            options: further options of job.sh.
            given: what yaml files and options contained, written to given.yaml; None writes none.

        Raises:
            ConfigError: the directory contains a run that must not be replaced, is no run's, or cannot be created, or
                another process trains in it.
        """
        try:
            self._make(self.root)
            root = DirectoryLock(self.root, waits=True)  # one process at a time looks and moves
            try:
                if self.path.is_dir():
                    DirectoryLock(self.path).release()
                self.check_free(replace)
                if not self._is_usable():
                    self._archive()
                self._make(self.path)
                self._found = set(self.path.iterdir())
                self._lock = DirectoryLock(self.path)
            finally:
                root.release()
            write_text(self.path / "config.yaml", config)
            if given is not None:
                write_text(self.path / GIVEN, given)
            self._read_git()
            write_job_script(self.path, self.git, options)
            record_job(self.path, os.environ)
        except (OSError, ValueError) as error:
            self.undo_create()
            raise ConfigError(
                f"the run directory {self.path} cannot be created: {error}; use another --root"
            ) from error

    @rank_zero_only
    def lock(self) -> None:
        """Lock the directory of a resumed run; no file of the run changes before `rewind`, except log.txt.

        Raises:
            ConfigError: another process trains in it.
        """
        for directory in (self.path, self.path / "checkpoints", self.path / "event"):
            if directory.exists() and not (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
                raise ConfigError(f"{directory} cannot be written to; resume under another --name and --root")
        self._lock = DirectoryLock(self.path)
        self._events = list_event_files(self.path / "event")

    @rank_zero_only
    def start_from(self, checkpoint: Path, name: str) -> None:
        """Add a checkpoint of another run to a created directory, as `name` and as last.ckpt."""
        for target in (name, LAST):
            link(checkpoint, self.path / "checkpoints" / target)

    @rank_zero_only
    def rewind(
        self, config: str, checkpoint: Path, name: str, step: int, event_sizes: Mapping[str, int]
    ) -> Path | None:
        """Return a locked directory to the state in which one of its checkpoints was saved.

        Checkpoints of later steps, including damaged ones, are moved to RUN/.old/ with a copy of TensorBoard's files
        and of the digests.
        Unfinished files are removed.

        Args:
            config: the whole configuration as yaml, written to config.resumeN.yaml.
            checkpoint: checkpoint that the run is resumed from.
            name: file name for a checkpoint of this step.
            step: step of the checkpoint.
            event_sizes: sizes of TensorBoard's files when the checkpoint was saved.

        Returns:
            The directory in RUN/.old/, None if there are no later checkpoints.
        """
        earlier = [*self.path.glob("config.resume*.yaml"), *(self.path / ".old").glob("resume*")]
        numbers = [path.stem.rpartition("resume")[2] for path in earlier]
        number = 1 + max((int(each) for each in numbers if each.isdecimal()), default=0)
        self.suffix = f".resume{number}"
        write_text(self.path / f"config{self.suffix}.yaml", config)
        self._read_git()
        record_job(self.path, os.environ)
        directory = checkpoint.parent
        for unfinished in directory.glob(".*.ckpt.*"):
            unfinished.unlink()
        for target in (name, LAST):
            link(checkpoint, directory / target)
        later = [path for path, saved in list_by_step(directory).items() if saved > step]
        archive = self.path / ".old" / f"resume{number}"
        if later:
            (archive / "event").mkdir(parents=True)
            for file in self._events:
                shutil.copy(file, archive / "event")
            if (self.path / DIGESTS).is_file():
                shutil.copy(self.path / DIGESTS, archive)
            for path in [*later, directory / BEST]:
                if path.exists() and not path.samefile(checkpoint):
                    path.rename(archive / path.name)
        truncate_event_files(self._events, event_sizes)
        cut_digests(self.path / DIGESTS, step)
        return archive if later else None

    @rank_zero_only
    def undo_create(self) -> None:
        """Undo `create` after a mistake of the user ended the run before its first step.

        Directories and files that existed before remain.
        """
        if self._has_checkpoint():
            return
        for path in self.path.iterdir() if self._lock is not None else ():
            if path not in self._found:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if self._archived is not None:
            if self.path.is_dir():
                self.path.rmdir()
            self._archived.rename(self.path)
            logger.info(f"moved the previous run back to {self.path}")
        self._remove_created()

    def _read_git(self) -> None:
        """Read the state of the code, and write git.diff, or git.resumeN.diff, if files differ from the commit."""
        self.git = read_git()
        if self.git.diff:
            write_text(self.path / f"git{self.suffix}.diff", self.git.diff)

    def release(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _has_checkpoint(self) -> bool:
        return any((self.path / "checkpoints").glob("*.ckpt"))

    def _is_usable(self) -> bool:
        """Return whether the directory does not exist, or contains nothing but logs that Slurm opened in it."""
        if not os.path.lexists(self.path):
            return True
        try:
            return self.path.is_dir() and all(
                file.is_file() and file.name.startswith("slurm-") for file in self.path.iterdir()
            )
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error}; use another --name or --root") from error

    def _make(self, directory: Path) -> None:
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(parents=True, exist_ok=True)
        self._created += reversed(missing)

    def _remove_created(self) -> None:
        for directory in reversed(self._created):
            if directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()

    def _archive(self) -> None:
        try:
            self._make(self._archive_root)
            self._archived = self._move()
        except OSError as error:
            self._remove_created()
            raise ConfigError(
                f"{self.path} cannot be moved to {self._archive_root}: {error}; use another --name"
            ) from error
        logger.info(f"moved the previous run from {self.path} to {self._archived}")

    def _move(self) -> Path:
        numbers = [path.name.rpartition(".")[2] for path in self._archive_root.glob(f"{self.path.name}.*")]
        number = 1 + max((int(number) for number in numbers if number.isdecimal()), default=0)
        return self.path.rename(self._archive_root / f"{self.path.name}.{number}")


def is_run(directory: Path) -> bool:
    """Return whether a directory contains a config.yaml that the engine wrote: a mapping with the keys of every run.

    Its lines are searched for the keys, because the file may be anyone's: parsing it may take forever.
    """
    config = directory / "config.yaml"
    try:
        if not config.is_file():  # a named pipe would block
            return False
        with config.open("rb") as file:
            found = set(re.findall(rb"^(\w+):", file.read(_MAX_CONFIG), re.MULTILINE))
    except OSError:
        return False
    return found >= _KEYS
