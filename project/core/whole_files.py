"""Writing checkpoints whole, and behind the training."""

import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from loguru import logger
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint
from torch.utils._pytree import tree_leaves

from project.core.checkpoint import read_checkpoint
from project.core.direct_file import DirectFile
from project.core.errors import ConfigError, Stopped, listing
from project.core.files import whole

Rooms = dict[tuple[Any, ...], Tensor]


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint under a temporary name and renames it when the disk has it; reads plain data only.

    Args:
        loaded: what was read already, by its file; given out once.
    """

    def __init__(self, loaded: dict[Path, dict[str, Any]]) -> None:
        super().__init__()
        self.loaded = loaded
        self.then: Callable[[], None] | None = None
        self._writing: Future[None] | None = None
        self._rooms: Rooms = {}  # kept: the memory's peak is the same, and copying takes a third of the time

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "checkpoint")

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        self.wait()
        if self.then is None:
            _write(checkpoint, Path(path))
        else:
            copy, self._rooms = copied(checkpoint, self._rooms)
            self._writing = self._pool.submit(_write, copy, Path(path), self.then)

    def wait(self, if_done: bool = False) -> None:
        """Until what was saved is on the disk.

        Args:
            if_done: only looks whether it failed, if it is over.

        Raises:
            Stopped: it could not be written.
        """
        if self._writing is not None and (self._writing.done() or not if_done):
            try:
                self._writing.result()
            finally:
                if self._writing.done():  # and not left by Ctrl-C
                    self._writing = None

    def finish(self) -> None:
        """Waits, where another exception is on its way already."""
        try:
            self.wait()
        except Exception as error:
            logger.error(error)

    def load_checkpoint(
        self, path: str | Path, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return self.loaded.pop(Path(path), None) or read_checkpoint(Path(path))


@contextmanager
def behind_the_training(trainer: pl.Trainer, then: Callable[[], None]) -> Iterator[None]:
    """What is saved within is copied at once, and written by a thread of its own where the run's files are WholeFiles.

    Args:
        trainer: the trainer.
        then: is called when the disk has the file.
    """
    files = trainer.strategy.checkpoint_io
    if not isinstance(files, WholeFiles):
        yield
        then()
        return
    files.then = then
    try:
        yield
    finally:
        files.then = None


def wait_for_files(trainer: pl.Trainer, if_done: bool = False) -> None:
    """Until what was saved is on the disk; see WholeFiles."""
    if isinstance(files := trainer.strategy.checkpoint_io, WholeFiles):
        files.wait(if_done)


def copied(checkpoint: dict[str, Any], rooms: Rooms) -> tuple[dict[str, Any], Rooms]:
    """A copy on the CPU, which a step of the training does not change; what was one tensor twice is so again.

    Args:
        checkpoint: what is copied.
        rooms: the tensors of the copy before, which nobody needs any more.

    Returns:
        the copy, and its tensors by the places of the originals.
    """
    copies: Rooms = {}
    known: dict[int, Any] = {}
    for value in tree_leaves(checkpoint):
        if not isinstance(value, Tensor):
            continue
        if type(value) is Tensor and value.layout is torch.strided:
            place = (value.data_ptr(), value.shape, value.stride(), value.dtype, value.device)
            if place not in copies:
                room = rooms.get(place)
                copies[place] = value.detach().to("cpu", copy=True) if room is None else room.copy_(value.detach())
            known[id(value)] = copies[place]
        else:
            known[id(value)] = value.detach().to("cpu", copy=True)
    return deepcopy(checkpoint, known), copies


def _write(checkpoint: dict[str, Any], path: Path, then: Callable[[], None] | None = None) -> None:
    try:
        with whole(path) as temporary:
            with DirectFile(temporary) as file:
                torch.save(checkpoint, cast(IO[bytes], file))
            _refuse_more_than_plain_data(checkpoint, temporary)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        reason = error.__context__ if isinstance(error.__context__, OSError) else error
        raise Stopped(f"checkpoint {path} was not written, those before it are as they were: {reason}") from error
    if then is not None:
        then()


def _refuse_more_than_plain_data(checkpoint: dict[str, Any], path: Path) -> None:
    """Raises ConfigError where nobody could read the file again."""
    unsafe = get_unsafe_globals_in_checkpoint(path)
    if unsafe:
        parts = [(key, value) for key, value in checkpoint.items() if key != "callbacks"]
        parts += [(f"callbacks.{key}", value) for key, value in checkpoint.get("callbacks", {}).items()]
        culprits = [key for key, value in parts if not _is_plain(value)]
        raise ConfigError(
            f"the checkpoint's {listing(culprits)} holds {unsafe[0]}, which is more than plain data\n"
            "It could not be read again: keep tensors, numbers, texts, and lists and dicts of these"
        )


def _is_plain(value: Any) -> bool:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return not get_unsafe_globals_in_checkpoint(buffer)


def _sync_folder(folder: Path) -> None:
    """Makes the new name last, too, where the file system knows how."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
