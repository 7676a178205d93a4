"""Logging with loguru to the console and to log.txt; messages of Lightning and of `warnings` go the same way.

Messages that are logged before the run directory is known are kept in memory, and written to log.txt first.
"""

import logging
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from loguru import logger
from pytorch_lightning.utilities import rank_zero_only

from project.core.errors import ConfigError

if TYPE_CHECKING:
    from loguru import Record

_FORMAT = "<green>{time:HH:mm:ss}</green> <level>{level: <7}</level> {message}"
_FILE_FORMAT = "{time:YYYY-MM-DD HH:mm:ss} {level: <7} {message}"
_SOURCES = ("pytorch_lightning", "lightning_fabric")
_DATASETS = f"{__name__.partition('.')[0]}.datasets."
# Matched: messages of Lightning about settings that the engine makes itself, facts that the engine's own messages have,
# and advertisement; one of Python.
_SILENCED = (
    "the hooks will not be called on every batch",
    "TPU available: False",
    "was configured so 100%",
    "Restoring states from the checkpoint path",
    "Restored all states from the checkpoint",
    "Loading `train_dataloader` to estimate",
    "but have no `val_dataloader`",
    "You passed in a `val_dataloader` but have no `validation_step`",
    "callbacks used to create the checkpoint need to be provided",
    "Time limit reached. Elapsed time",
    "Trainer already configured with model summary",
    "💡 Tip",
    "smaller than the logging interval",
    "does not have many workers",
    "across ranks is zero",
    "isinstance(treespec, LeafSpec)",
    "`Trainer.fit` stopped",
    "The `srun` command is available",
    # Python 3.12 and later warn of it in a fork, during which loguru holds its locks: logging it would wait forever.
    "use of fork() may lead to deadlocks",
)


class _OnceFilter:
    """Filter of a sink: a message of datasets passes once; several splits and values that refer to them build one."""

    def __init__(self) -> None:
        self._passed: set[str] = set()

    def __call__(self, record: "Record") -> bool:
        text, is_of_dataset = record["message"], (record["name"] or "").startswith(_DATASETS)
        is_repeated = is_of_dataset and text in self._passed
        if is_of_dataset:
            self._passed.add(text)
        return not is_repeated

    def forget(self) -> None:
        """Let all messages pass again."""
        self._passed.clear()


class _EarlierMessages:
    """Messages that were logged before log.txt was opened."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=10_000)  # some stages open no file
        self._sink: int | None = None

    def collect(self) -> None:
        """Keep all messages from now on; called when loguru has no sinks."""
        self._sink = _add_sink(self.lines.append)

    def move_to(self, file: TextIO) -> None:
        """Write the messages to a file and keep no more."""
        file.writelines(self.lines)
        self.lines.clear()
        if self._sink is not None:
            logger.remove(self._sink)
            self._sink = None

    def discard(self) -> None:
        """Forget the messages; called when loguru's sinks were removed."""
        self.lines.clear()
        self._sink = None


_earlier = _EarlierMessages()
_console_once, _file_once = _OnceFilter(), _OnceFilter()  # a stage has two blocks, one inside of the other


class _InterceptHandler(logging.Handler):
    """Handler that passes records of the standard library on to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if not any(text in message for text in _SILENCED):
            logger.log(record.levelname, message.strip())


@contextmanager
def logging_to_console(level: str) -> Iterator[None]:
    """Send all messages to the console during the `with` block; of ranks other than 0, only errors."""
    logger.remove()
    logger.add(
        _write_to_stderr,
        level=level if is_rank_zero() else "ERROR",
        format=_FORMAT if is_rank_zero() else f"[rank {rank()}] {_FORMAT}",
        filter=_console_once,
        colorize=_shows_colors(),
        backtrace=False,
        diagnose=False,
    )
    if is_rank_zero():
        _earlier.collect()
    sources = [logging.getLogger(name) for name in _SOURCES]
    before = [(source.handlers, source.propagate) for source in sources]
    for source in sources:
        source.handlers, source.propagate = [_InterceptHandler()], False
    shown, warnings.showwarning = warnings.showwarning, _show_warning
    try:
        yield
    finally:
        warnings.showwarning = shown
        for source, (handlers, propagate) in zip(sources, before, strict=True):
            source.handlers, source.propagate = handlers, propagate
        logger.remove()
        logger.add(sys.stderr)
        forget_messages()


@contextmanager
def logging_to_file(path: Path) -> Iterator[None]:
    """Append all messages of rank 0 to a file: those of the console's `with` block so far, and those of this one."""
    if not is_rank_zero():
        yield
        return
    # Opened here, because loguru takes braces in a path for fields.
    try:
        opened = path.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    with opened as file:
        _earlier.move_to(file)
        sink = _add_sink(file)
        try:
            yield
        finally:
            logger.remove(sink)


def forget_messages() -> None:
    """Forget the messages logged so far: a forked process does not write those of its parent to log.txt."""
    _earlier.discard()
    _console_once.forget()
    _file_once.forget()


def format_values(values: Mapping[str, float]) -> str:
    """Return values as they are logged in a line."""
    return "   ".join(f"{name} {value:.4g}" for name, value in values.items())


def is_rank_zero() -> bool:
    """Return whether this process logs and writes for all."""
    return rank() == 0


def rank() -> int:
    """Return the rank of this process in the run."""
    number: int = getattr(rank_zero_only, "rank", 0)
    return number


def _shows_colors() -> bool:
    """Return whether stderr is a terminal with colors that the user has not disabled (no-color.org)."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _add_sink(sink: TextIO | Callable[[str], None]) -> int:
    """Add a sink for the messages of log.txt; return its number."""
    return logger.add(sink, level="DEBUG", format=_FILE_FORMAT, filter=_file_once, backtrace=False, diagnose=False)


def _write_to_stderr(message: str) -> None:
    # Looked up for each message, because a progress bar replaces sys.stderr.
    sys.stderr.write(message)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if any(text in str(message) for text in _SILENCED):
        return
    if any(source in Path(filename).parts for source in _SOURCES):
        logger.warning(str(message).strip())  # where Lightning warns says nothing about the run
    else:
        logger.warning(f"{category.__name__}: {message} ({filename}:{lineno})")
