"""The run directory: create, lock, archive, rewind."""

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from loguru import logger
from pytorch_lightning.utilities import rank_zero_only

from project.core.errors import ConfigError
from project.core.files import link, write_text
from project.core.run.checkpoint_files import BEST, LAST, list_by_step
from project.core.run.job_script import write_job_script
from project.core.tensorboard import list_event_files, truncate_event_files

try:
    import fcntl
except ImportError:  # Windows, where two trainings in one directory are not noticed
    fcntl = None  # type: ignore[assignment]

_JOBS = "slurm.txt"  # numbers of the Slurm jobs that trained in a directory
# Workers may outlive a killed process. They close their copies of the locks' files, so that the directory is free.
_open_locks: set[int] = set()


def _close_locks() -> None:
    for opened in _open_locks:
        os.close(opened)
    _open_locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_locks)


class RunDirectory:
    """Directory ROOT/NAME of a run; it contains a run if it contains a checkpoint. Only rank 0 accesses it.

    Args:
        root: directory of all runs.
        name: name of the run.

    Raises:
        ConfigError: the name is not a directory name.
    """

    def __init__(self, root: str, name: str) -> None:
        if not name or Path(name).name != name or name.startswith("."):
            raise ConfigError(f"name is '{name}'; it must be a directory name, without slashes or a leading dot")
        self.root = Path(root).absolute()
        self.path = self.root / name
        self._archive_root = self.root / ".old"
        self._archived: Path | None = None
        self._created: list[Path] = []
        self._lock: int | None = None
        self._events: list[Path] = []

    @rank_zero_only
    def check_free(self, replace: bool) -> None:
        """Raise ConfigError if the directory contains a run that must not be replaced."""
        if self._contains_run() and not replace:
            raise ConfigError(
                f"{self.path} already contains a run; use another --name, or --replace to move it to "
                f"{self._archive_root}"
            )

    @rank_zero_only
    def create(self, config: str, replace: bool, options: Sequence[str] = ()) -> None:
        """Create and lock the directory, with config.yaml and job.sh; an existing one is moved to ROOT/.old/.

        Args:
            config: the whole configuration as yaml.
            replace: whether a run may be moved.
            options: further options of job.sh.

        Raises:
            ConfigError: the directory contains a run that must not be replaced, or another process trains in it.
        """
        try:
            self._make(self.root)
        except OSError as error:
            raise ConfigError(f"root {self.root} cannot be created: {error}") from error
        root = _acquire_lock(self.root, wait=True)  # one process at a time looks and moves
        try:
            if self.path.exists():
                os.close(_acquire_lock(self.path, wait=False))
                self.check_free(replace)
                self._archive()
            self._make(self.path)
            self._hold_lock()
        finally:
            os.close(root)
        write_text(self.path / "config.yaml", config)
        write_job_script(self.path, options)
        _record_job(self.path, os.environ)

    @rank_zero_only
    def lock(self) -> None:
        """Lock the directory of a resumed run; no file of the run changes before `rewind`, except log.txt.

        Raises:
            ConfigError: another process trains in it.
        """
        self._hold_lock()
        self._events = list_event_files(self.path / "event")

    @rank_zero_only
    def start_from(self, checkpoint: Path, name: str) -> None:
        """Add a checkpoint of another run to a created directory, as `name` and as last.ckpt."""
        for target in (name, LAST):
            link(checkpoint, self.path / "checkpoints" / target)

    @rank_zero_only
    def rewind(self, config: str, checkpoint: Path, name: str, step: int, event_sizes: Mapping[str, int]) -> None:
        """Return a locked directory to the state in which one of its checkpoints was saved.

        Checkpoints of later steps, including damaged ones, are moved to RUN/.old/ with a copy of TensorBoard's files.
        Unfinished files are removed.

        Args:
            config: the whole configuration as yaml, written to config.resumeN.yaml.
            checkpoint: checkpoint that the run is resumed from.
            name: file name for a checkpoint of this step.
            step: step of the checkpoint.
            event_sizes: sizes of TensorBoard's files when the checkpoint was saved.
        """
        earlier = [*self.path.glob("config.resume*.yaml"), *(self.path / ".old").glob("resume*")]
        number = 1 + max((int(path.stem.rpartition("resume")[2]) for path in earlier), default=0)
        write_text(self.path / f"config.resume{number}.yaml", config)
        _record_job(self.path, os.environ)
        directory = checkpoint.parent
        for unfinished in directory.glob(".*.ckpt.*"):
            unfinished.unlink()
        for target in (name, LAST):
            link(checkpoint, directory / target)
        later = [path for path, saved in list_by_step(directory).items() if saved > step]
        if later:
            archive = self.path / ".old" / f"resume{number}"
            (archive / "event").mkdir(parents=True)
            for file in self._events:
                shutil.copy(file, archive / "event")
            for path in [*later, directory / BEST]:
                if path.exists() and not path.samefile(checkpoint):
                    path.rename(archive / path.name)
        truncate_event_files(self._events, event_sizes)

    @rank_zero_only
    def undo_create(self) -> None:
        """Undo `create` after a mistake of the user ended the run before its first step."""
        if self._lock is None or self._contains_run():
            return
        shutil.rmtree(self.path)
        if self._archived is not None:
            self._archived.rename(self.path)
        for directory in reversed(self._created):
            if directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()

    def release(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            _open_locks.discard(self._lock)
            self._lock = None

    def _hold_lock(self) -> None:
        self._lock = _acquire_lock(self.path, wait=False)
        _open_locks.add(self._lock)

    def _contains_run(self) -> bool:
        return any((self.path / "checkpoints").glob("*.ckpt"))

    def _make(self, directory: Path) -> None:
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(parents=True, exist_ok=True)
        self._created += reversed(missing)

    def _archive(self) -> None:
        self._make(self._archive_root)
        numbers = [path.name.rpartition(".")[2] for path in self._archive_root.glob(f"{self.path.name}.*")]
        number = 1 + max((int(number) for number in numbers if number.isdigit()), default=0)
        self._archived = self.path.rename(self._archive_root / f"{self.path.name}.{number}")
        logger.info(f"moved the previous run from {self.path} to {self._archived}")


def belongs_to_job(run: Path, environment: Mapping[str, str]) -> bool:
    """Return whether this Slurm job saved a checkpoint in a run directory before it was restarted."""
    jobs = run / _JOBS
    known = jobs.read_text(encoding="utf-8").split() if jobs.is_file() else []
    return environment["SLURM_JOB_ID"] in known and any((run / "checkpoints").glob("*.ckpt"))


def _record_job(run: Path, environment: Mapping[str, str]) -> None:
    job, jobs = environment.get("SLURM_JOB_ID"), run / _JOBS
    if job is not None:
        known = jobs.read_text(encoding="utf-8").split() if jobs.is_file() else []
        write_text(jobs, "".join(f"{each}\n" for each in dict.fromkeys([*known, job])))


def _acquire_lock(directory: Path, wait: bool) -> int:
    """Return an open file that locks a directory: two trainings in it would overwrite each other's files."""
    if fcntl is None:
        return os.open(os.devnull, os.O_RDONLY)
    opened = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        os.close(opened)
        raise ConfigError(f"another process is training in {directory}; use a different --name") from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):  # a file system without locks
            raise
    return opened
