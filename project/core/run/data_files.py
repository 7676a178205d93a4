"""The data files of a run, as far as the configuration names them: what environment.json says of them."""

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from project.core.config.annotations import parameters_of
from project.core.config.construction import Component
from project.core.config.paths import is_path_key
from project.core.data.datamodule import DataModule

_DATA_DIR = "data_dir"
_MAX_HASHED, _MAX_HASHED_TOGETHER = 2**24, 2**26  # bytes
_MAX_LISTED, _MAX_SEEN = 1_000, 20_000  # files and directories
_MAX_SECONDS = 1.0


def describe_data(components: Iterable[Component]) -> dict[str, Any]:
    """Return what is known of the files and directories that the entries of `data` name.

    These are the arguments of its components that are the path of something in `data_dir`, or, where a component has
    no such argument, `data_dir` itself. Of other components, arguments such as `path` and `root` are paths.

    The first 1,000 files are listed with their sizes and times of modification, and those of at most 16 MiB with their
    sha256, up to 64 MiB together. A directory has a digest of the names and sizes of its files, up to 20,000 files
    and directories; hidden ones are skipped. All of this ends after a second. `left_out` says what was not seen.
    """
    survey = _Survey()
    for path in dict.fromkeys(_named_paths(components)):
        survey.add(path)
    return {"files": survey.files, "directories": survey.directories, "left_out": survey.left_out}


def _named_paths(components: Iterable[Component]) -> Iterator[Path]:
    for component in components:
        is_data = component.path == "data" or component.path.startswith("data.")
        hands_on = issubclass(component.cls, DataModule)  # data_dir, to the datasets
        if not is_data or hands_on:
            continue
        defaults = {key: parameter.default for key, parameter in parameters_of(component.cls).items()}
        arguments = defaults | dict(component.init_args)
        directory = arguments.pop(_DATA_DIR, None)
        base = Path(directory) if isinstance(directory, str) else None
        texts = [text for key, value in arguments.items() for text in _texts(value) if base or is_path_key(key)]
        found = [path for text in texts if _exists(path := Path(base or "", text))]
        yield from found or ([base] if base and _exists(base) else [])


def _texts(value: object) -> list[str]:
    items = value if isinstance(value, list | tuple) else [value]
    return [str(item) for item in items if isinstance(item, str | Path) and str(item)]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a text that is no path
        return False


@dataclass
class _Survey:
    """Files and directories that were seen, within the limits."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    directories: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    is_cut: bool = False
    seen: int = 0
    hashed: int = 0
    end: float = field(default_factory=lambda: time.monotonic() + _MAX_SECONDS)

    def add(self, path: Path) -> None:
        """Add a file or directory."""
        try:
            status = path.stat()
            if not stat.S_ISDIR(status.st_mode):
                self._list(str(path), status)
                return
            names, size, count, newest = hashlib.sha256(), 0, 0, 0.0
            self.is_cut = False
            for file, inner in self._walk(str(path)):
                name = file[len(str(path)) :].replace(os.sep, "/")
                names.update(f"{name}\0{inner.st_size}\0".encode(errors="surrogateescape"))
                size, count, newest = size + inner.st_size, count + 1, max(newest, inner.st_mtime)
                self._list(file, inner)
            self.directories[str(path)] = {
                "files": count,
                "size": size,
                "newest": _to_text(newest) if count else None,
                "names_and_sizes": None if self.is_cut else names.hexdigest(),  # cut, another order has other files
            }
        except OSError as error:
            self._leave_out(f"{path}: {error.strerror}")

    def _walk(self, top: str) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the files of a directory with their status, in the order of their names, until a limit is reached."""
        waiting, entered = [top], set[tuple[int, int]]()
        while waiting:
            inner = []
            for entry in self._entries(waiting.pop(), entered):
                self.seen += 1
                if self.seen > _MAX_SEEN or time.monotonic() > self.end:
                    why = f"{_MAX_SEEN} files" if self.seen > _MAX_SEEN else f"{_MAX_SECONDS:g} s"
                    self._leave_out(f"{top}: what comes after the first {why}")
                    self.is_cut = True
                    return
                try:
                    status = entry.stat()
                except OSError as error:  # such as a symbolic link to nothing
                    self._leave_out(f"{entry.path}: {error.strerror}")
                    continue
                if stat.S_ISDIR(status.st_mode):
                    inner.append(entry.path)
                else:
                    yield entry.path, status
            waiting += reversed(inner)

    def _entries(self, directory: str, entered: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
        """Return what a directory contains, without hidden files; nothing if it was entered by another link."""
        try:
            status = Path(directory).stat()
            if (status.st_dev, status.st_ino) in entered:
                return []
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(directory) as entries:
                shown = [entry for entry in islice(entries, _MAX_SEEN + 1) if not entry.name.startswith(".")]
        except OSError as error:
            self._leave_out(f"{directory}: {error.strerror}")
            self.is_cut = True
            return []
        return sorted(shown, key=lambda entry: entry.name)

    def _list(self, path: str, status: os.stat_result) -> None:
        if path in self.files:
            return
        if len(self.files) >= _MAX_LISTED:
            self._leave_out(f"size and time of each file after the first {_MAX_LISTED}")
            return
        checksum = self._checksum(path, status)
        modified = _to_text(status.st_mtime)
        self.files[path] = {"size": status.st_size, "modified": modified, "sha256": checksum}

    def _checksum(self, path: str, status: os.stat_result) -> str | None:
        """Return the sha256 of a file; None for a large one, and for what is no file."""
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_HASHED:
            return None
        if self.hashed + status.st_size > _MAX_HASHED_TOGETHER or time.monotonic() > self.end:
            self._leave_out("sha256 of some files")
            return None
        self.hashed += status.st_size
        try:
            with Path(path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            self._leave_out(f"{path}: {error.strerror}")
            return None

    def _leave_out(self, what: str) -> None:
        if what not in self.left_out and len(self.left_out) < _MAX_LISTED:
            self.left_out.append(what)


def _to_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
