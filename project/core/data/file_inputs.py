"""Datasets of the files that `predict --files` names."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from project.core.data.number_files import SUFFIXES, OtherFilesError, read_numbers
from project.core.errors import ConfigError, did_you_mean, join_names, shorten
from project.datasets.base import Dataset
from project.deploy.inputs import Input, InputError, Numbers, Picture
from project.deploy.picture_files import find_pictures

_MAGIC = "*?["
CheckShape = Callable[[str, tuple[int, ...]], None]


class PictureFiles(Dataset):
    """Pictures in files; those that cannot be read are left out of the batches.

    Args:
        files: the files.
        folder: directory to which their names are relative.
        name: name of the tensor.
        raw: how they are read.
        check_shape: raises InputError if the net does not take the shape of a picture.
    """

    def __init__(
        self, files: list[Path], folder: Path, name: str, raw: Picture, check_shape: CheckShape | None = None
    ) -> None:
        super().__init__()
        self.files, self.folder, self.tensor, self.picture = files, folder, name, raw
        self.check_shape = check_shape

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        try:
            return {self.tensor: torch.from_numpy(self._read(index))}
        except InputError:
            return {}

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the batch of the samples that were read."""
        rows = [sample for sample in samples if self.tensor in sample]
        return cast(dict[str, Tensor], default_collate(rows)) if rows else {}

    def name(self, index: int) -> str:
        """Return the path of the file, relative to the directory."""
        return self.files[index].relative_to(self.folder).as_posix()

    def find_error(self, index: int) -> str | None:
        """Return why a file cannot be read; None if it can."""
        try:
            self._read(index)
        except InputError as error:
            return str(error)
        return None

    def _read(self, index: int) -> np.ndarray:
        picture = self.picture.read(self.files[index])
        if self.check_shape is not None:
            try:
                self.check_shape(self.tensor, picture.shape)
            except InputError as error:
                raise InputError(f"{self.files[index]}: {error}") from error
        return np.ascontiguousarray(picture)


class NumberRows(Dataset):
    """Rows of a csv or npz file, named by their numbers from 0.

    Args:
        arrays: arrays `(N, ...)` by the names of the tensors.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[index] for name, tensor in self.tensors.items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        return {name: tensor[indices] for name, tensor in self.tensors.items()}

    def name(self, index: int) -> str:
        """Return the number of the row."""
        return str(index)


def file_dataset(
    path: Path, inputs: Mapping[str, Input], check_shape: CheckShape | None = None, any_names: bool = True
) -> PictureFiles | NumberRows:
    """Return the dataset of the files that a path names.

    Args:
        path: a picture, a directory of pictures, a pattern such as `photos/*.jpg`, or a csv or npz file of numbers.
        inputs: what the net takes.
        check_shape: raises InputError if the net does not take an input of a shape.
        any_names: whether the columns of a single vector may have any names.

    Raises:
        OtherFilesError: they do not contain what the net takes.
        ConfigError: there are no such files, or they cannot be used.
    """
    pictures = {name: raw for name, raw in inputs.items() if isinstance(raw, Picture)}
    if pictures and len(inputs) > 1:
        raise ConfigError(
            f"--files gives one picture or numbers, and the net takes {describe_inputs(inputs)}: predict with a "
            "dataset, or use project.Predictor"
        )
    if not pictures and path.is_dir():
        raise _needs_numbers(inputs)
    files, folder = find_files(path)
    is_numbers = len(files) == 1 and files[0].suffix.lower() in SUFFIXES
    if pictures:
        if is_numbers:
            raise OtherFilesError(f"--files: {files[0]} has numbers, and the net takes {describe_inputs(inputs)}")
        ((name, picture),) = pictures.items()
        return PictureFiles(files, folder, name, picture, check_shape)
    if not is_numbers:
        raise _needs_numbers(inputs)
    arrays = read_numbers(files[0], cast(Mapping[str, Numbers], inputs), any_names)
    for name, array in arrays.items():
        try:
            if check_shape is not None:
                check_shape(name, array.shape[1:])
        except InputError as error:
            raise ConfigError(f"--files: {files[0]}: {name}: {error}") from error
    return NumberRows(arrays)


def _needs_numbers(inputs: Mapping[str, Input]) -> OtherFilesError:
    return OtherFilesError(
        f"--files: the net takes {describe_inputs(inputs)}: give a {' or '.join(SUFFIXES)} file, or let a dataset read "
        "the files: --data.predict NAME\n"
        'If they are pictures, say so in the dataset: raw = {"NAME": Picture(channels=3)}'
    )


def find_files(path: Path) -> tuple[list[Path], Path]:
    """Return the files that a path names, and the directory to which their names are relative.

    Args:
        path: a file, a directory of pictures, or a pattern of glob, in which `**` means any number of directories.

    Raises:
        ConfigError: there are none.
    """
    try:
        if path.is_dir():
            return find_pictures(path), path
        if path.exists():
            return [path], path.parent
    except FileNotFoundError as error:
        raise ConfigError(f"--files: {error}") from error
    except OSError as error:  # such as a name that is too long
        raise ConfigError(f"--files: {shorten(str(path), 200)} cannot be read: {error.strerror}") from error
    parts = path.parts
    fixed = next((i for i, part in enumerate(parts) if any(mark in part for mark in _MAGIC)), None)
    if fixed is not None:
        folder = Path(*parts[:fixed])
        matching = folder.glob(str(Path(*parts[fixed:])))
        found = sorted(file for file in matching if file.is_file() and not _is_hidden(file.relative_to(folder)))
        if not found:
            raise ConfigError(f"--files: no file matches {path}")
        return found, folder
    near = did_you_mean(path.name, [each.name for each in path.parent.glob("*")])
    raise ConfigError(f"--files: {path} does not exist{near}")


def _is_hidden(path: Path) -> bool:
    """Return whether a file, or one of its directories, has a name that begins with a dot."""
    return any(part[0] == "." for part in path.parts)


def describe_inputs(inputs: Mapping[str, Input]) -> str:
    """Return the inputs of a net in words."""

    def show(raw: Input) -> str:
        if isinstance(raw, Picture):
            return "a picture"
        shape = ", ".join("any" if length is None else str(length) for length in raw.shape)
        return f"numbers ({shape}) {raw.dtype}" if raw.shape else f"a number {raw.dtype}"

    return join_names(f"{name}: {show(raw)}" for name, raw in inputs.items())
