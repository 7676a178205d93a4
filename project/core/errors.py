"""Errors that users see, and where in the user's own code an error was raised."""

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from sysconfig import get_paths
from traceback import FrameSummary, extract_tb, format_exception_only
from typing import TypeVar

_CORE = Path(__file__).parent
_LIBRARIES = [Path(get_paths()[name]) for name in ("stdlib", "purelib", "platlib")]
RAISED_IN = "raised in "  # stored: a DataLoader's worker passes errors on as text, in which this is looked for
_WORKER_ENDED = "DataLoader worker (pid"  # matched: torch raises this anywhere in the main process
_PASSED_ON = re.compile(r"Caught (\w+) in DataLoader")  # matched: followed by the traceback of a worker
_MAX_CAUSES = 100
# Matched: Lightning and torch refuse these settings with a plain RuntimeError or ValueError.
_REFUSALS = (
    "Early stopping conditioned on metric",
    "`val_check_interval` (",
    "You have set `accumulate_grad_batches` and are using the `GradientAccumulationScheduler`",
    "Automatic gradient accumulation and the `GradientAccumulationScheduler`",
    "Skipping the `training_step` by returning None",
    "The current optimizer, ",
    "SparseAdam does not support dense gradients",
    "You provided only a single `",
    "You provided multiple `",
    "`max_depth` can be",
    "`DeviceStatsMonitor` cannot log CPU stats as `psutil` is not installed",
)
# Packages whose names differ from those that are imported.
_PACKAGES = {"PIL": "pillow", "cv2": "opencv-python", "skimage": "scikit-image", "sklearn": "scikit-learn"}
_OFFER = re.compile(r"pip install (?:-U )?'?([\w.<>=\[\]-]*\w\]?)")  # matched: messages of Lightning and torchmetrics
_MAX_LINE, _MAX_VALUE = 2000, 200  # characters in messages
ErrorType = TypeVar("ErrorType", bound=BaseException)


class ConfigError(Exception):
    """A mistake in the yaml files or options: one to three lines, no traceback, exit code 2."""


class RunStopped(Exception):
    """A stop of the run by the engine, whose message is the whole reason: no traceback, exit code 1."""


def is_user_error(error: BaseException) -> bool:
    """Return whether an error is a mistake in the configuration, found by the engine or refused by Lightning.

    What Lightning refuses of a call in the user's own code has a location, and needs a traceback.
    """
    if find_cause(error, ConfigError) is not None:
        return True
    is_refusal = isinstance(error, _misconfiguration()) or message_of(error).strip().startswith(_REFUSALS)
    return is_refusal and _find_location(error) is None


def _misconfiguration() -> tuple[type[Exception], ...]:
    """Return the error of Lightning, which is not imported for it: some commands run without torch."""
    module = sys.modules.get("lightning_fabric.utilities.exceptions")
    return () if module is None else (module.MisconfigurationException,)


def is_file_error(error: BaseException) -> bool:
    """Return whether an error says, in a message for the user, that a dataset cannot read one of its files.

    Libraries and the datasets raise an OSError without a number; one with a number was raised by the system.
    """
    from PIL import UnidentifiedImageError  # some commands need no Pillow

    from project.deploy.inputs import InputError

    return isinstance(error, InputError | FileNotFoundError | UnidentifiedImageError) or (
        isinstance(error, OSError) and error.errno is None
    )


def find_cause(error: BaseException, error_type: type[ErrorType]) -> ErrorType | None:
    """Return the error of a type among an error and its causes."""
    return next((link for link in causes(error) if isinstance(link, error_type)), None)


def causes(error: BaseException) -> list[BaseException]:
    """Return an error and its causes, each once: a chain of causes may be a circle."""
    chain: dict[int, BaseException] = {}
    link: BaseException | None = error
    while link is not None and id(link) not in chain:
        chain[id(link)] = link
        link = link.__context__ if link.__cause__ is None and not link.__suppress_context__ else link.__cause__
    return list(chain.values())


def shorten_causes(error: BaseException) -> None:
    """Remove the earliest of very many causes of an error, which loguru could not show."""
    chain = causes(error)
    if len(chain) > _MAX_CAUSES:
        last = chain[_MAX_CAUSES - 1]
        last.__cause__, last.__suppress_context__ = None, True
        last.add_note(f"({len(chain) - _MAX_CAUSES} earlier causes are not shown)")


def message_of(error: BaseException) -> str:
    """Return the text of an error, also if its `__str__` fails."""
    try:
        return str(error)
    except Exception as failure:
        return f"(its `__str__` raised {type(failure).__name__})"


def user_message(error: BaseException) -> str:
    """Return a mistake's message in one to three lines, also if a DataLoader's worker passed it on as text."""
    mistake = find_cause(error, ConfigError)
    text = message_of(error if mistake is None else mistake).strip()
    if passed_on := _PASSED_ON.match(text):
        text = re.split(rf"^(?:\w+\.)*{passed_on[1]}: ", text, flags=re.MULTILINE)[-1]
    return "\n".join(without_commands(shorten(line, _MAX_LINE)) for line in text.splitlines()[:3])


def without_commands(line: str) -> str:
    """Return a line without commands for a terminal, which names in a stranger's file may contain."""
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in line)


def normalize(name: str) -> str:
    """Return a name as it is compared, without case and underscores: `cross_entropy` is `CrossEntropy`."""
    return name.replace("_", "").lower()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name nearest to `name`; empty if none is near."""
    by_normalized = {normalize(candidate): candidate for candidate in known}
    near = get_close_matches(normalize(name), by_normalized, n=1, cutoff=0.6)
    return f"; did you mean '{by_normalized[near[0]]}'?" if near else ""


def show_value(value: object) -> str:
    """Return a value as messages show it."""
    return shorten(repr(value), _MAX_VALUE)


def shorten(text: str, length: int) -> str:
    """Return a text without what exceeds a length."""
    return text if len(text) <= length else f"{text[:length]}..."


def first_line(error: BaseException, length: int = 300) -> str:
    """Return the first line of the text of an error, without what exceeds a length."""
    return shorten(message_of(error).strip().partition("\n")[0], length)


def count_of(number: int, noun: str) -> str:
    """Return a number with a noun, such as `1 step` or `2 steps`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def join_names(names: Iterable[str]) -> str:
    """Return names in one line."""
    return ", ".join(names) or "none"


def add_location(error: BaseException, location: str) -> None:
    """Add to an error of the user's code the line that says where it was raised.

    Raises:
        RuntimeError: the error is a StopIteration, which would end the epoch silently.
    """
    if not isinstance(error, ConfigError):
        error.add_note(RAISED_IN + location)
    if isinstance(error, StopIteration):
        raise RuntimeError("StopIteration was raised, which would end the epoch silently") from error


@contextmanager
def located(location: str) -> Iterator[None]:
    """Add a location to errors raised in the `with` block.

    Raises:
        ConfigError: a package is missing.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        if needed := missing_package(error):
            raise ConfigError(f"{location}: it {needed}") from error
        add_location(error, location)
        raise


def error_location(error: BaseException) -> str:
    """Return the line that `add_location` added; without one, the innermost line of code that is no library's."""
    location = _find_location(error)
    if location is not None:
        return location
    if message_of(error).startswith(_WORKER_ENDED):
        return f"{RAISED_IN}a worker of a DataLoader, which ended"
    frames = [frame for link in causes(error) for frame in extract_tb(link.__traceback__)]
    if not frames:
        return f"{type(error).__name__}, which has no traceback"
    frame = find_user_frame(error) or frames[-1]
    return f"{RAISED_IN}{frame.name} ({frame.filename}:{frame.lineno})"


def find_user_frame(error: BaseException) -> FrameSummary | None:
    """Return the innermost frame of an error in code that is no library's."""
    frames = [frame for link in causes(error) for frame in extract_tb(link.__traceback__)]
    return next((frame for frame in reversed(frames) if _is_user_code(frame)), None)


def passed_user_code(error: BaseException) -> bool:
    """Return whether user code is among the functions that the function which caught an error has called."""
    return any(map(_is_user_code, extract_tb(error.__traceback__)[1:]))


def has_location(error: BaseException) -> bool:
    """Return whether `add_location` added a line to an error."""
    return _find_location(error) is not None


def constructor_error(error: Exception, where: str) -> Exception:
    """Return what to raise in place of an error in the constructor of a component.

    An error of the user's own code keeps its traceback and gets a location. What a library refuses is a mistake in the
    values, and a missing package is one in the installation.

    Args:
        error: the error, in the function that called the constructor.
        where: config path of the component, with its class.
    """
    if (mistake := find_cause(error, ConfigError)) is not None:
        return ConfigError(_add_path(str(mistake), where))
    if needed := missing_package(error):
        return ConfigError(f"{where} {needed}")
    if passed_user_code(error):
        add_location(error, f"{where}, while it was built")
        return error
    is_plain = isinstance(error, (ValueError, TypeError, RuntimeError, *_misconfiguration())) and str(error)
    return ConfigError(f"{where}: {error if is_plain else ''.join(format_exception_only(error)).strip()}")


def _add_path(text: str, where: str) -> str:
    """Return a component's message with its config path, in place of the name of its class if it begins with that.

    A group of settings has no path here; its messages contain theirs.
    """
    path, _, name = where.removesuffix(")").partition(" (")
    if text.startswith(path) or not (name or "." in path):
        return text
    own = re.match(rf"{re.escape(name)}\b(?!\()", text) if name else None
    return f"{where}{text[own.end() :]}" if own else f"{where}: {text}"


def missing_package(error: BaseException) -> str | None:
    """Return `needs the package X: pip install X` if an error was caused by a missing package, else None."""
    cause = find_cause(error, ModuleNotFoundError)
    if cause is None:
        return None
    offers = _OFFER.findall(str(cause))
    module = (cause.name or "").partition(".")[0]
    if offers:  # rather the package itself than all that torchmetrics can use
        requirement = next((offer for offer in offers if "[" not in offer), offers[0])
    elif module and find_spec(module) is None:
        requirement = _PACKAGES.get(module, module)
    else:
        return None
    package = re.split("[<>=]", requirement)[0]
    return f"needs the package {package}: pip install {shlex.quote(requirement)}"


@cache
def is_library(file: Path) -> bool:
    """Return whether a source file belongs to the engine or to a library."""
    return _CORE in file.parents or any(library in file.parents for library in _LIBRARIES)


def _find_location(error: BaseException) -> str | None:
    notes = [note for link in (error, error.__cause__) for note in _notes(link)]
    lines = [*notes, *(line.strip() for line in message_of(error).splitlines())]
    return next((line for line in lines if line.startswith(RAISED_IN)), None)


def _notes(error: BaseException | None) -> list[str]:
    notes = getattr(error, "__notes__", None)  # anything, if user code sets it
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []


def _is_user_code(frame: FrameSummary) -> bool:
    return not is_library(Path(frame.filename))
