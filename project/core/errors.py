"""How a mistake is told to the person who made it."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from traceback import extract_tb

import pytorch_lightning
from lightning_fabric.utilities.exceptions import MisconfigurationException

_PROJECT = Path(__file__).parent.parent
_LIGHTNING = Path(pytorch_lightning.__file__).parent
RAISED_IN = "raised in "


class ConfigError(Exception):
    """A mistake in the yaml or in the options: one to three lines, no traceback, exit code 2."""


def is_mistake(error: BaseException) -> bool:
    """Whether an exception tells of the user's yaml: ours does, and what Lightning itself refuses."""
    if isinstance(error, ConfigError | MisconfigurationException):
        return True
    frames = extract_tb(error.__traceback__)
    return isinstance(error, ValueError) and bool(frames) and _LIGHTNING in Path(frames[-1].filename).parents


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
    """Adds to an exception of somebody else's code the one line that says where it came from."""
    if not isinstance(error, ConfigError):
        error.add_note(RAISED_IN + where)


def where_raised(error: BaseException) -> str:
    """The line that `note_where` left, also when the exception crossed from a DataLoader's worker as text.

    An exception without one came from elsewhere: then the line names the innermost code of this project.
    """
    notes: list[str] = getattr(error, "__notes__", [])
    lines = [*notes, *(line.strip() for line in str(error).splitlines())]
    for line in lines:
        if line.startswith(RAISED_IN):
            return line
    frames = extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{_PROJECT}/" in frame.filename and f"{_PROJECT}/core/" not in frame.filename]
    frame = (own or frames)[-1]
    return f"{RAISED_IN}{frame.name} ({frame.filename}:{frame.lineno})"
