"""Protection of run directories: what would write there during a replay is refused.

An audit hook of Python sees each file that Python code opens, renames or removes, whatever the path is made of, and
`torch.save`, which is replaced by a function that tells it. It does not see what other code in C writes on its own
(such as HDF5, safetensors or SQLite's journal), other programs that a callback starts, files that were open before,
and `os.open` relative to an open directory. A hook cannot be removed, so that there is one; outside `protecting`, it
returns at once.
"""

import inspect
import json
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from project.core.data.workers import prepare_worker
from project.core.errors import ConfigError

VARIABLE = "REPLAY_PROTECTED"  # environment variable with the directories, for workers that are spawned
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Positions of paths, and of the directory that they are relative to, in the arguments of an event; None for no such.
_EVENTS: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.rename": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.rmdir": ((0, 1),),
    "os.link": ((0, 2), (1, 3)),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
    "os.setxattr": ((0, None),),
    "os.removexattr": ((0, None),),
    "shutil.rmtree": ((0, 1),),
    "shutil.move": ((0, None), (1, None)),
    "sqlite3.connect": ((0, None),),
    "torch.save": ((0, None),),
}
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
_protected: list[str] = []  # real paths; empty outside the `with` blocks
_is_installed = False


@contextmanager
def protecting(run: Path) -> Iterator[None]:
    """Refuse what would write in a run directory in the `with` block, also in the workers of DataLoaders.

    Raises:
        ConfigError: something would write there; raised where it tries.

    Example::

        with protecting(Path("experiments/digits")):
            trainer.fit(module)
    """
    _install()
    path, before = os.path.realpath(run), os.environ.get(VARIABLE)
    _protected.append(path)
    os.environ[VARIABLE] = json.dumps(_protected)
    try:
        yield
    finally:
        _protected.remove(path)
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def prepare_protected_worker(worker_id: int) -> None:
    """Prepare a worker, and protect in it what the main process protects: it may be no copy of that."""
    prepare_worker(worker_id)
    paths = os.environ.get(VARIABLE)
    if paths and not _protected:
        _install()
        _protected.extend(json.loads(paths))


def _install() -> None:
    global _is_installed
    if not _is_installed:
        sys.addaudithook(_check)
        torch.save = _telling(torch.save)  # it opens the file in C++
        _is_installed = True


def _telling(save: Callable[..., None]) -> Callable[..., None]:
    """Return `torch.save` such that the hook sees it."""

    @wraps(save)
    def told(obj: object, f: Any, *arguments: Any, **named: Any) -> None:
        sys.audit("torch.save", f)
        save(obj, f, *arguments, **named)

    return told


def _check(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise ConfigError if an event writes in a protected directory."""
    if not _protected:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & _WRITING:
            _check_path(path, None)
        return
    for position, directory in _EVENTS.get(event, ()):
        at = arguments[directory] if directory is not None and directory < len(arguments) else None
        _check_path(arguments[position], at, event == "sqlite3.connect")


def _check_path(path: object, directory: object, is_uri: bool = False) -> None:
    if isinstance(path, int):  # a file that is open, perhaps only for reading
        path = f"/proc/self/fd/{path}"
    if not isinstance(path, str | bytes | os.PathLike):
        return
    given = Path(os.fsdecode(path).removeprefix("file:").partition("?")[0] if is_uri else os.fsdecode(path))
    if isinstance(directory, int) and directory >= 0:
        given = Path(f"/proc/self/fd/{directory}") / given
    for found in (os.path.realpath(given), f"{os.path.realpath(given.parent)}{os.sep}{given.name}"):
        if any(found == each or found.startswith(f"{each}{os.sep}") for each in _protected):
            raise ConfigError(
                f"{found} would be changed by {_caller()}, but a replay does not touch the run: leave it out, or give "
                "it another path"
            )


def _caller() -> str:
    """Return the callback or module that writes, else the function outside the libraries, with its line."""
    named, frame = "", inspect.currentframe()
    while frame is not None:
        if not named and not _is_of_library(frame):
            named = f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
        if _is_hooked(frame):
            return f"{type(frame.f_locals['self']).__name__}.{frame.f_code.co_name} ({frame.f_code.co_filename})"
        frame = frame.f_back
    return named or "a library"


def _is_of_library(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file == __file__ or file.startswith(("<", *_LIBRARIES))


def _is_hooked(frame: FrameType) -> bool:
    """Return whether a frame is a method of a callback, module or dataset of the user's own."""
    owner = frame.f_locals.get("self")
    bases = {f"{base.__module__}.{base.__name__}" for base in type(owner).__mro__}
    return not _is_of_library(frame) and bool(bases & _OWNERS)


# By name: nothing is imported here, since a hook may run in any process.
_OWNERS = {
    "pytorch_lightning.callbacks.callback.Callback",
    "pytorch_lightning.core.module.LightningModule",
    "torch.utils.data.dataset.Dataset",
}
