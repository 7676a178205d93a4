"""Files of run directories, which anybody may have written: no links, pipes or devices, and no more than fits."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from project.core.config.yaml_files import MAX_DIGITS

MAX_BYTES = 20_000_000  # of a text file
_MAX_LEVELS = 50  # of JSON
MAX_YAML = 1_000_000  # bytes; 12 seconds to parse if it is all short keys


def check_regular(path: Path, most: int | None = None) -> int:
    """Return the size of a file.

    Links are not followed: a directory from somebody else could show files of this machine.

    Args:
        path: the file.
        most: bytes that it may have; None for any number.

    Raises:
        OSError: it is missing, too large, or no regular file.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        kinds = ((stat.S_ISLNK, "a link"), (stat.S_ISDIR, "a directory"))
        kind = next((name for is_kind, name in kinds if is_kind(status.st_mode)), "no regular file")
        raise OSError(errno.EINVAL, f"it is {kind}")
    if most is not None and status.st_size > most:
        raise OSError(errno.EFBIG, f"it has more than {most // 1_000_000} MB")
    return status.st_size


def read_file(path: Path, most: int = MAX_BYTES) -> str:
    """Return the text of a file.

    Raises:
        OSError: see `check_regular`.
        UnicodeDecodeError: it is not in UTF-8.
    """
    check_regular(path, most)
    return path.read_text(encoding="utf-8")


def parse_json(text: str) -> Any:
    """Return the value of a JSON text, whose whole numbers can all be made floats.

    Raises:
        ValueError: the text is damaged.
        RecursionError: it is nested too deeply.
    """
    value = json.loads(text, parse_int=_parse_int)
    level = [value]
    for _ in range(_MAX_LEVELS):
        parts = [each for each in level if isinstance(each, dict | list)]
        level = [item for part in parts for item in (part.values() if isinstance(part, dict) else part)]
    if level:
        raise RecursionError(f"it has more than {_MAX_LEVELS} levels")
    return value


def list_directory(directory: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a directory by name; none of one that is missing, a link, or somebody else's."""
    try:
        if stat.S_ISDIR(directory.lstat().st_mode):
            return sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        pass
    return []


def list_directories(directory: Path) -> list[Path]:
    """Return the directories in a directory by name, without links."""
    return [Path(entry.path) for entry in list_directory(directory) if entry.is_dir(follow_symlinks=False)]


def list_files(directory: Path, ending: str) -> list[Path]:
    """Return what a directory contains whose name has an ending, by name; `check_regular` says if it is no file."""
    return [Path(entry.path) for entry in list_directory(directory) if entry.name.endswith(ending)]


def walk(directory: Path) -> Iterator[Path]:
    """Yield a directory, and all directories in it at any depth, without links."""
    waiting = [directory]
    while waiting:
        yield (current := waiting.pop())
        waiting += reversed(list_directories(current))


def _parse_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    return int(text)
