"""The file in which optuna keeps the trials of a sweep, on a disk that all workers share."""

import os
from pathlib import Path
from typing import Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial

from project.core.errors import ConfigError, message_of
from project.study.sweep.definition import Definition
from project.study.sweep.directory import lock_file

# Stored: the name of the study in the journal. It is the same in all, so that a sweep's directory may be renamed.
STUDY = "sweep"
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {"min": "minimize", "max": "maximize"}

optuna.logging.set_verbosity(optuna.logging.WARNING)


class JournalLock(JournalFileOpenLock):
    """Lock of a journal that the kernel releases when its owner is killed.

    The owner removes an incomplete record at the end of the journal, which a process left that was killed while it
    wrote. optuna's own locks are files: after a kill, all workers would wait for 30 seconds, and the next record would
    be appended to the incomplete one.

    Args:
        journal: the file.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self.journal = journal
        self._opened: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._opened = os.open(f"{self.journal}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        lock_file(self._opened, waits=True)
        _remove_incomplete_record(self.journal)
        return True

    def release(self) -> None:
        """Release the lock."""
        assert self._opened is not None
        os.close(self._opened)
        self._opened = None


class Journal:
    """Trials of a sweep in a file.

    Args:
        file: the file; it is created if it does not exist.
        definition: the sweep.

    Raises:
        ConfigError: the file is damaged.
    """

    def __init__(self, file: Path, definition: Definition) -> None:
        self.direction = DIRECTIONS[definition.mode]
        if file.is_symlink():  # to a file whose last line may be removed as an incomplete record
            raise ConfigError(f"{file} is a link; remove it")
        try:
            self.storage = JournalStorage(JournalFileBackend(str(file), JournalLock(file)))
            self.study = self._open()
        except (
            ValueError,
            LookupError,
            TypeError,
            RecursionError,
        ) as error:  # anything but a line of JSON, or a record of another kind
            raise ConfigError(
                f"{file} is damaged: {message_of(error)}\nRestore it, or start the sweep again under another name"
            ) from error

    def trials(self) -> list[FrozenTrial]:
        """Return all trials by number; they must not be changed."""
        return self.study.get_trials(deepcopy=False)

    def trial_id(self, number: int) -> int:
        """Return optuna's identifier of a trial."""
        study = self.storage.get_study_id_from_name(STUDY)
        return self.storage.get_trial_id_from_study_id_trial_number(study, number)

    def _open(self) -> optuna.Study:
        if STUDY in optuna.get_all_study_names(self.storage):
            return optuna.load_study(study_name=STUDY, storage=self.storage)
        return optuna.create_study(study_name=STUDY, storage=self.storage, direction=self.direction)


def _remove_incomplete_record(journal: Path) -> None:
    with journal.open("rb+") as file:
        content = file.seek(0, os.SEEK_END)
        tail = b""
        position = content
        while position > 0 and b"\n" not in tail:
            position = max(0, position - 4096)
            file.seek(position)
            tail = file.read(content - position)
        end = position + tail.rfind(b"\n") + 1
        if end != content:
            file.truncate(end)
