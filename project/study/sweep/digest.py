"""Digests of the code and data that runs were computed from; `frozen.py` keeps their configuration."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from project.core.config.yaml_files import Tree, flatten

_PROJECT = Path(__file__).parents[2]
_SOURCES = {".py", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp"}
_MAX_FILES = 20_000  # of the data; more would take too long on a shared disk


def digest_code(packages: Sequence[Path] = (_PROJECT, _PROJECT.parent / "ops")) -> str:
    """Return a digest of the sources of packages."""
    files = {
        file.relative_to(package.parent).as_posix(): file
        for package in packages
        for file in package.rglob("*")
        if file.suffix in _SOURCES
    }
    return _digest(part for name in sorted(files) for part in (name, files[name].read_bytes()))


def digest_data(experiment: Tree) -> str:
    """Return a digest of the names, sizes and times of the files in each `data_dir`, the first 20,000 of them.

    Args:
        experiment: the merged tree of the experiment.
    """
    directories = sorted(
        {value for path, value in flatten(experiment).items() if path.endswith("data_dir") and isinstance(value, str)}
    )
    return _digest(str(fact) for directory in directories for fact in _describe(Path(directory)))


def describe_changes(earlier: Iterable[Mapping[str, str]], now: Mapping[str, str]) -> str:
    """Return how many runs differ in what, such as `3 in code, 1 in data`; empty if none do.

    Args:
        earlier: the digests of each run when it began; a run without digests does not count.
        now: the digests of a run that begins now.
    """
    changed = Counter(name for before in earlier for name in now if before and before.get(name) != now[name])
    return ", ".join(f"{count} in {name}" for name, count in sorted(changed.items()))


def _describe(directory: Path) -> Iterator[tuple[str, int, int]]:
    """Yield name, size and time of modification of files in a directory, in the same order each time."""
    count = 0
    for parent, names, files in os.walk(directory):
        names.sort()
        for name in sorted(files):
            file = Path(parent, name)
            try:
                status = file.stat()
            except OSError:  # a broken link, or a file that another process has just removed
                continue
            yield file.relative_to(directory).as_posix(), status.st_size, status.st_mtime_ns
            count += 1
            if count == _MAX_FILES:
                return


def _digest(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else part.encode(errors="surrogateescape")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:16]
