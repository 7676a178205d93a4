"""How a mistake is told to the person who made it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from sysconfig import get_paths
from traceback import FrameSummary, extract_tb
from typing import TypeVar

import lightning_fabric
import pytorch_lightning
from lightning_fabric.utilities.exceptions import MisconfigurationException

_CORE = Path(__file__).parent
_LIBRARIES = [Path(get_paths()[name]) for name in ("stdlib", "purelib", "platlib")]
_LIGHTNING = [Path(str(package.__file__)).parent for package in (pytorch_lightning, lightning_fabric)]
RAISED_IN = "raised in "
Kind = TypeVar("Kind", bound=BaseException)


class ConfigError(Exception):
    """A mistake in the yaml or in the options: one to three lines, no traceback, exit code 2."""


class Stopped(Exception):
    """The reason why the engine ended a run, told in full: no traceback, exit code 1."""


def is_mistake(error: BaseException) -> bool:
    """Whether an exception tells of the user's yaml: ours does, and what Lightning refuses of the engine's calls.

    What Lightning refuses of a call in the user's own code is not: that needs a traceback.
    """
    if any(isinstance(link, ConfigError) for link in _chain(error)):
        return True
    files = [Path(frame.filename) for frame in extract_tb(error.__traceback__)]
    callers = [file for file in files if not _in_lightning(file)]
    refused = isinstance(error, MisconfigurationException | ValueError | RuntimeError)
    return refused and callers != files and _in_lightning(files[-1]) and _CORE in callers[-1].parents


def find_in(error: BaseException, kind: type[Kind]) -> Kind | None:
    """The exception of a kind, or one that it came from."""
    return next((link for link in _chain(error) if isinstance(link, kind)), None)


def mistake(error: BaseException) -> str:
    """A mistake's message in one to three lines, also when it crossed from a DataLoader's worker as text."""
    text = str(next((link for link in _chain(error) if isinstance(link, ConfigError)), error)).strip()
    if text.startswith(f"Caught {ConfigError.__name__} in DataLoader"):
        text = text.rpartition(f"{ConfigError.__name__}: ")[2]
    return "\n".join(text.splitlines()[:3])


def _chain(error: BaseException) -> list[BaseException]:
    """The exception, and those behind it."""
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return [error, *_chain(behind)] if behind is not None else [error]


def _in_lightning(file: Path) -> bool:
    return any(folder in file.parents for folder in _LIGHTNING)


def normalize(name: str) -> str:
    """Names match ignoring case and underscores: `cross_entropy` is `CrossEntropy`."""
    return name.replace("_", "").lower()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known name nearest to `name`, or nothing when none is near."""
    by_normalized = {normalize(candidate): candidate for candidate in known}
    near = get_close_matches(normalize(name), by_normalized, n=1, cutoff=0.6)
    return f"; did you mean '{by_normalized[near[0]]}'?" if near else ""


def listing(names: Iterable[str]) -> str:
    """The names in one line."""
    return ", ".join(names) or "none"


def note_where(error: BaseException, where: str) -> None:
    """Adds to an exception of somebody else's code the one line that says where it came from.

    Raises:
        RuntimeError: it is a StopIteration, which would end the epoch silently.
    """
    if not isinstance(error, ConfigError):
        error.add_note(RAISED_IN + where)
    if isinstance(error, StopIteration):
        raise RuntimeError("StopIteration was raised, which would end the epoch silently") from error


@contextmanager
def noting_where(where: str) -> Iterator[None]:
    """Notes it on what is raised inside."""
    try:
        yield
    except Exception as error:
        note_where(error, where)
        raise


def where_raised(error: BaseException) -> str:
    """The line that `note_where` left, also when the exception crossed from a DataLoader's worker as text.

    An exception without one came from elsewhere: then the line names the innermost code that is no library's.
    """
    notes: list[str] = [*getattr(error, "__notes__", []), *getattr(error.__cause__, "__notes__", [])]
    lines = [*notes, *(line.strip() for line in str(error).splitlines())]
    for line in lines:
        if line.startswith(RAISED_IN):
            return line
    frames = [frame for link in _chain(error) for frame in extract_tb(link.__traceback__)]
    frame = ([frame for frame in frames if _is_of_the_owner(frame)] or frames)[-1]
    return f"{RAISED_IN}{frame.name} ({frame.filename}:{frame.lineno})"


def by_owner(error: BaseException) -> bool:
    """Whether code that somebody here wrote raised it, neither the engine nor a library."""
    return _is_of_the_owner(extract_tb(error.__traceback__)[-1])


def is_library(file: Path) -> bool:
    """Whether a file of code is the engine's or somebody else's."""
    return _CORE in file.parents or any(library in file.parents for library in _LIBRARIES)


def _is_of_the_owner(frame: FrameSummary) -> bool:
    return not is_library(Path(frame.filename))
