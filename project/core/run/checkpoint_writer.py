"""Atomic, asynchronous writing of checkpoints."""

import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from loguru import logger
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint
from torch.utils._pytree import tree_leaves

from project.core.errors import ConfigError, RunStopped, join_names
from project.core.files import atomic_write
from project.core.run.checkpoint_files import LoadedCheckpoint, load_checkpoint

BufferKey = tuple[int, torch.Size, tuple[int, ...], torch.dtype, torch.device]
Buffers = dict[BufferKey, Tensor]


class CheckpointWriter(TorchCheckpointIO):
    """Checkpoint plugin that writes atomically, asynchronously if asked, and loads only plain data.

    Args:
        loaded: a checkpoint that was loaded already; its content is returned once, without reading the file again.

    Example::

        with writer.asynchronous_write(on_written=prune):
            trainer.save_checkpoint(path)  # returns after the snapshot; a thread writes the file
        writer.wait()
    """

    def __init__(self, loaded: LoadedCheckpoint | None = None) -> None:
        super().__init__()
        self.loaded = loaded
        self._on_written: Callable[[], None] | None = None
        self._prepare: Callable[[dict[str, Any]], None] | None = None
        self._writing: Future[None] | None = None
        self._buffers: Buffers = {}  # kept, because reusing them is faster, and peak memory is the same

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "checkpoint")

    @contextmanager
    def asynchronous_write(
        self, on_written: Callable[[], None], prepare: Callable[[dict[str, Any]], None] | None = None
    ) -> Iterator[None]:
        """Write what is saved in the `with` block in a thread.

        Args:
            on_written: called in that thread after the file is on the disk.
            prepare: called in that thread with the snapshot before it is written, which it may change.
        """
        self._on_written, self._prepare = on_written, prepare
        try:
            yield
        finally:
            self._on_written = self._prepare = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None) -> None:
        self.wait()
        if self._on_written is None:
            _write(checkpoint, Path(path))
        else:
            snapshot, self._buffers = snapshot_to_cpu(checkpoint, self._buffers)
            self._writing = self._thread.submit(_write, snapshot, Path(path), self._on_written, self._prepare)

    def load_checkpoint(
        self, path: str | Path, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        if self.loaded is not None and self.loaded.path == Path(path) and self.loaded.content:
            return self.loaded.take_content()
        return load_checkpoint(Path(path)).content

    def wait(self) -> None:
        """Wait until the write has finished.

        Raises:
            RunStopped: the file could not be written.
        """
        if self._writing is not None:
            try:
                self._writing.result()
            finally:
                if self._writing.done():  # and was not interrupted by Ctrl-C
                    self._writing = None

    def raise_if_failed(self) -> None:
        """Raise the error of the last write, if it has finished."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def finish(self) -> None:
        """Wait until the write has finished; log its error, because raising it could hide another exception."""
        try:
            self.wait()
        except Exception as error:
            logger.error(error)


def snapshot_to_cpu(checkpoint: dict[str, Any], buffers: Buffers) -> tuple[dict[str, Any], Buffers]:
    """Copy a checkpoint to the CPU. Later steps do not change the copy; shared tensors are shared in it.

    Args:
        checkpoint: the content.
        buffers: tensors of the previous snapshot, which are overwritten.

    Returns:
        The copy, and its tensors, the `buffers` of the next call.
    """
    filled: Buffers = {}
    copies: dict[int, Tensor] = {}  # by the id of the tensor; the memo of deepcopy
    for tensor in tree_leaves(checkpoint):
        if not isinstance(tensor, Tensor):
            continue
        key = _buffer_key(tensor)
        if key is None:
            copies[id(tensor)] = tensor.detach().to("cpu", copy=True)
            continue
        if key not in filled:
            buffer = buffers.get(key)
            source = tensor.detach()
            filled[key] = source.to("cpu", copy=True) if buffer is None else buffer.copy_(source)
        copies[id(tensor)] = filled[key]
    return deepcopy(checkpoint, cast(dict[int, Any], copies)), filled


def _buffer_key(tensor: Tensor) -> BufferKey | None:
    """Return a key that identifies a tensor's memory; None for a sparse tensor or a subclass of Tensor."""
    if type(tensor) is not Tensor or tensor.layout is not torch.strided:
        return None
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _write(
    checkpoint: dict[str, Any],
    path: Path,
    on_written: Callable[[], None] | None = None,
    prepare: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    try:
        if prepare is not None:
            prepare(checkpoint)
        with atomic_write(path) as temporary:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            _check_plain_data(checkpoint, temporary)
        _sync_directory(path.parent)
    except (OSError, RuntimeError) as error:
        reason = error.__context__ if isinstance(error.__context__, OSError) else error
        raise RunStopped(f"cannot write checkpoint {path}: {reason}; earlier checkpoints are intact") from error
    if on_written is not None:
        on_written()


def _check_plain_data(checkpoint: dict[str, Any], path: Path) -> None:
    """Raise ConfigError if a file contains more than plain data, so that it could not be loaded again."""
    unsafe = get_unsafe_globals_in_checkpoint(path)
    if unsafe:
        parts = [(key, value) for key, value in checkpoint.items() if key != "callbacks"]
        parts += [(f"callbacks.{key}", value) for key, value in checkpoint.get("callbacks", {}).items()]
        sources = [key for key, value in parts if not _is_plain_data(value)]
        raise ConfigError(
            f"the checkpoint's {join_names(sources)} contains {unsafe[0]}, which is not plain data\n"
            "It could not be loaded again; save only tensors, numbers, texts, and lists and dicts of these"
        )


def _is_plain_data(value: object) -> bool:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return not get_unsafe_globals_in_checkpoint(buffer)


def _sync_directory(directory: Path) -> None:
    """Write the new name of a file to the disk, if the file system can."""
    with suppress(OSError):
        opened = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
