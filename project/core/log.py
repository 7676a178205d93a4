"""loguru on the console and in log.txt, with Lightning's and Python's own messages passed through it."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from loguru import logger
from pytorch_lightning.utilities import rank_zero_only

_FORMAT = "<green>{time:HH:mm:ss}</green> <level>{level: <7}</level> {message}"
_FILE_FORMAT = "{time:YYYY-MM-DD HH:mm:ss} {level: <7} {message}"
_SOURCES = ("pytorch_lightning", "lightning_fabric")
# What Lightning says about things that this engine settles itself, or that are advertisement.
_SILENT = (
    "💡 Tip",
    "smaller than the logging interval",
    "does not have many workers",
    "across ranks is zero",
    "isinstance(treespec, LeafSpec)",
    "`Trainer.fit` stopped",
    "The `srun` command is available",
)


class _Intercept(logging.Handler):
    """Passes a standard-library record on to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if not any(text in message for text in _SILENT):
            logger.log(record.levelname, message.strip())


@contextmanager
def logging_to(level: str) -> Iterator[None]:
    """Sends all messages to the console while it lasts."""
    logger.remove()
    logger.add(
        _to_stderr,
        level=level if on_first_rank() else "ERROR",
        format=_FORMAT if on_first_rank() else f"[rank {rank()}] {_FORMAT}",
        colorize=sys.stderr.isatty(),
        backtrace=False,
        diagnose=False,
    )
    sources = [logging.getLogger(name) for name in _SOURCES]
    before = [(source.handlers, source.propagate) for source in sources]
    for source in sources:
        source.handlers, source.propagate = [_Intercept()], False
    shown, warnings.showwarning = warnings.showwarning, _show_warning
    try:
        yield
    finally:
        warnings.showwarning = shown
        for source, (handlers, propagate) in zip(sources, before, strict=True):
            source.handlers, source.propagate = handlers, propagate
        logger.remove()
        logger.add(sys.stderr)


@contextmanager
def logging_to_file(path: Path) -> Iterator[None]:
    """Appends all messages of rank 0 to a file while it lasts."""
    if not on_first_rank():
        yield
        return
    sink = logger.add(path, level="DEBUG", format=_FILE_FORMAT, backtrace=False, diagnose=False)
    try:
        yield
    finally:
        logger.remove(sink)


def on_first_rank() -> bool:
    """Whether this is the process that speaks for all."""
    return rank() == 0


def rank() -> int:
    """The number of this process in the run."""
    number: int = getattr(rank_zero_only, "rank", 0)
    return number


def _to_stderr(message: str) -> None:
    # Looked up for each message: a progress bar puts itself in the place of sys.stderr.
    sys.stderr.write(message)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if not any(text in str(message) for text in _SILENT):
        logger.warning(f"{category.__name__}: {message} ({filename}:{lineno})")
