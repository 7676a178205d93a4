"""The directory of a replay: replay.json, the batches, and pictures of them."""

import errno
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from project.core.errors import ConfigError
from project.core.files import write_picture, write_text
from project.core.writable import check_writable
from project.study.files import check_regular
from project.study.replay.batches import Array
from project.study.replay.step_record import StepRecord, TensorRecord

REPLAY = "replay.json"
_FORMAT = "replay 1"  # stored: a directory without it is not replaced
_PAGE, _PICTURES = "replay.html", "pictures"
# Paths of what `write_step` and `write_page` write: a directory with others is not replaced.
_OWN = re.compile(
    rf"{re.escape(REPLAY)}|{re.escape(_PAGE)}|step_\d+\.npz"
    rf"|{_PICTURES}(/step_\d+(/\d+_\w{{0,40}}(/row_\d+\.png)?)?)?"
)
_ATTEMPTS = 10  # to replace a directory, while other replays do
_MAX_PICTURES = 64  # of each tensor of a step
_MAX_PIXELS = 4_000_000  # of a picture


def default_directory(run: Path, first: int, last: int) -> Path:
    """Return where a replay is written: beside the run, where no command looks for runs."""
    run = run.resolve()
    name = f"step_{first:06d}" if first == last else f"step_{first:06d}-{last:06d}"
    return run.parent / ".replay" / run.name / name


def check_directory(directory: Path, run: Path) -> None:
    """Check, before anything is trained, that the files of a replay can be written to a directory.

    Raises:
        ConfigError: it is in the run directory, contains anything else than a replay, or is read-only.
    """
    resolved = directory.resolve()
    if resolved.is_relative_to(run.resolve()):
        raise ConfigError(f"--to is {directory}, in the run directory, which a replay does not change")
    if not _is_replaceable(resolved):
        raise ConfigError(f"{directory} exists, and is no directory that replay has written; set another one with --to")
    check_writable(resolved.parent, "--to")


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """Yield a temporary directory, which takes the place of another one after the `with` block, unless it fails."""
    directory = directory.resolve()
    created = [path for path in directory.parents if not path.exists()]
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    temporary.chmod(0o777 & ~_umask())
    earlier = temporary.with_name(f"{temporary.name}.earlier")
    try:
        yield temporary
        _replace(temporary, directory, earlier)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(earlier, ignore_errors=True)
        for path in created:
            with suppress(OSError):  # not empty: the replay is in it
                path.rmdir()


def _replace(temporary: Path, directory: Path, earlier: Path) -> None:
    """Put a directory into the place of another one, which another replay may do at the same time."""
    for _ in range(_ATTEMPTS):
        if not _is_replaceable(directory):  # somebody has written to it meanwhile
            break
        with suppress(FileNotFoundError):
            directory.replace(earlier)
        try:
            temporary.replace(directory)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                with suppress(FileNotFoundError):
                    earlier.replace(directory)
                raise
            shutil.rmtree(earlier, ignore_errors=True)  # another replay was faster
    raise ConfigError(f"{directory} is no directory that replay has written; set another one with --to")


def write_step(directory: Path, record: StepRecord, arrays: Mapping[str, Array]) -> None:
    """Write the batch of a step, as step_N.npz and as pictures, and note the files in its record."""
    record.file = f"step_{record.step:06d}.npz"
    # An entry cannot be called `file`, the argument of `np.savez`. Not compressed: it would take longer than the step.
    named = {f"{name}_" if name == "file" else name.replace("/", "_"): array for name, array in arrays.items()}
    with (directory / record.file).open("wb") as file:
        np.savez(file, **named)  # type: ignore[arg-type]
    for position, tensor in enumerate(record.tensors):
        name = f"{position}_{re.sub(r'[^A-Za-z0-9_]', '_', tensor.name)[:40]}"
        _write_pictures(directory, f"{_PICTURES}/step_{record.step:06d}/{name}", record, tensor, arrays[tensor.name])


def write_json(directory: Path, content: Mapping[str, Any], records: Sequence[StepRecord]) -> None:
    """Write replay.json; JSON has no NaN, which becomes the text `nan`."""
    data = {"format": _FORMAT, **content, "steps": [record.to_json() for record in records]}
    write_text(directory / REPLAY, f"{json.dumps(_plain(data), indent=1, allow_nan=False)}\n")


def _is_replaceable(directory: Path) -> bool:
    """Return whether a directory does not exist, is empty, or contains a replay and nothing else."""
    try:
        if not directory.exists():
            return not directory.is_symlink()
        if not directory.is_dir():
            return False
        is_empty = True
        for path in directory.rglob("*"):
            is_empty = False
            if path.is_symlink() or not _OWN.fullmatch(path.relative_to(directory).as_posix()):
                return False
        if is_empty:
            return True
        check_regular(directory / REPLAY)
        with (directory / REPLAY).open(encoding="utf-8") as file:
            return f'"format": "{_FORMAT}"' in file.read(200)
    except (OSError, UnicodeDecodeError):
        return False


def _write_pictures(directory: Path, name: str, record: StepRecord, tensor: TensorRecord, array: Array) -> None:
    """Write pictures `(B, 1 or 3, H, W)` of the samples with values far from the others, and of the largest losses."""
    if array.ndim != 4 or array.shape[1] not in (1, 3) or array.dtype.kind not in "fu" or not array.size:
        return
    if len(array) != len(record.samples) or array.shape[2] * array.shape[3] > _MAX_PIXELS:
        return
    tensor.black, tensor.white = _range(tensor, array)
    tensor.pictures = [""] * len(array)
    far = tensor.far_rows()
    for sample in sorted(record.samples, key=lambda sample: sample.row not in far)[:_MAX_PICTURES]:
        file = f"{name}/row_{sample.row:05d}.png"
        pixels = torch.from_numpy(np.nan_to_num(array[sample.row].astype(np.float32)))
        span = (tensor.white - tensor.black) or 1.0
        write_picture(directory / file, ((pixels - tensor.black) / span).expand(3, -1, -1))
        tensor.pictures[sample.row] = file


def _range(tensor: TensorRecord, array: Array) -> tuple[float, float]:
    """Return the values that are black and white: usual bounds if the tensor is within them, else its own."""
    if array.dtype.kind == "u":
        return 0.0, 255.0
    low, high = tensor.minimum or 0.0, tensor.maximum or 0.0
    if tensor.far_rows() and (typical := tensor.usual_peak):  # beside a row that is far brighter, others were black
        low, high = max(low, -typical), min(high, typical)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
