"""Workers of DataLoaders: how they end, and how their errors reach the main process."""

import builtins
import multiprocessing
import sys
import traceback
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from torch.utils.data import get_worker_info

from project.core.data.tensors import abbreviate
from project.core.distributed.signals import die_with_parent, ignore_signals
from project.core.errors import (
    ConfigError,
    RunStopped,
    add_location,
    error_location,
    has_location,
    is_file_error,
    message_of,
)
from project.core.training.lightning_internals.access import call_if_not_sent


class _NotSent(NamedTuple):
    """What a worker sends instead of a batch that cannot be pickled.

    Args:
        text: the error, with its traceback.
    """

    text: str


def start_method() -> str | None:
    """Return how torch starts workers; None for its default.

    Since Python 3.14, the default on Linux is `forkserver`: each worker imports torch again, and datasets must be
    pickled. A fork starts at once, and shares the memory of the datasets.
    """
    is_chosen = multiprocessing.get_start_method(allow_none=True) == "spawn"
    return "fork" if sys.platform == "linux" and not is_chosen else None


def prepare_worker(worker_id: int) -> None:
    """Prepare a worker before it loads its first batch."""
    ignore_signals()
    die_with_parent()
    call_if_not_sent(_describe_not_sent)


def raise_from_dataset(error: BaseException, location: str) -> NoReturn:
    """Raise an error of a dataset with its location; in a worker, one that reaches the main process.

    Raises:
        ConfigError: the dataset cannot read a file, which is the user's.
        BaseException: as `raise_to_main`.
    """
    if is_file_error(error):
        raise ConfigError(f"{location}: {message_of(error)}") from error
    add_location(error, location)
    raise_to_main(error)


def raise_to_main(error: BaseException) -> NoReturn:
    """Raise an error; in a worker, one that reaches the main process.

    torch passes on only an `Exception`, and only its type and text: the main process waits forever for an error whose
    type cannot be pickled, and a type of the user's own may lose the text.

    Raises:
        BaseException: the error; for other types than the built-in ones, a RuntimeError with its type and text.
    """
    is_builtin = isinstance(error, Exception) and getattr(builtins, type(error).__name__, None) is type(error)
    is_passed_on = is_builtin and not isinstance(error, ExceptionGroup)  # whose notes are indented
    if get_worker_info() is None or is_passed_on or type(error) in (ConfigError, RunStopped):
        raise error
    sent = RuntimeError(f"{type(error).__name__}: {message_of(error)}")
    sent.add_note(error_location(error))
    raise sent from error


def receive(batches: Iterator[Any], location: str) -> Iterator[Any]:
    """Yield the batches that workers send; errors without a location get that of the dataset."""
    while True:
        try:
            batch = next(batches)
            if isinstance(batch, _NotSent):
                raise RuntimeError(batch.text)
        except StopIteration:
            return
        except Exception as error:
            if not has_location(error):
                add_location(error, f"{location}, by a worker or while its batch was received")
            raise
        yield batch


def _describe_not_sent(error: BaseException, batch: Any) -> _NotSent:
    """Return what a worker sends instead of a batch that could not be sent."""
    info = get_worker_info()
    location = getattr(info.dataset, "location", "a dataset") if info else "a dataset"
    index = batch.get("index") if isinstance(batch, dict) else None
    samples = f", samples {abbreviate([int(each) for each in index])}" if index is not None else ""
    add_location(error, f"{location}{samples}, while a worker sent the batch")
    text = "".join(traceback.format_exception(error))
    return _NotSent(f"a worker cannot send its batch: {type(error).__name__}: {message_of(error)}\nOriginal {text}")
