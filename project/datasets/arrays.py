"""Arrays in NumPy files."""

import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from project.datasets.base import Dataset, Picture, Transform
from project.registry import DATASET_REGISTRY

# By version of the format; version 3 differs from 2 only in the names of fields, which no tensor has.
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,
}
_LARGEST = {"u": 4, "c": 16}  # bytes of the largest dtype that has a tensor, if not 8; uint64 would wrap as int64


class _Header(NamedTuple):
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype
    size: int


@DATASET_REGISTRY.register()
class Arrays(Dataset):
    """NumPy arrays of equal length N; row i of each array is a tensor of sample i, named after the array.

    The arrays are memory-mapped, so rows are read when they are used, and workers share them; compressed arrays are
    loaded. Integers become int64, floats float32, complex numbers complex64. Other dtypes, and uint64, are refused.

    Args:
        path: an .npz file, .npy file or directory of .npy files named after their arrays; relative to `data_dir`.
        pictures: names of uint8 arrays (N, H, W) or (N, C, H, W) that become pictures (C, H, W) in [0, 1].
        augmentation: transforms by name, applied in this order.
        data_dir: directory that contains `path`, unless `path` is absolute.
    """

    example: ClassVar[dict[str, Any]] = {"path": str(Path(__file__).with_name("digits.npz"))}

    def __init__(
        self,
        path: str,
        pictures: Sequence[str] = ("image",),
        augmentation: dict[str, Transform] | None = None,
        data_dir: str = ".",
    ) -> None:
        super().__init__(augmentation)
        self.path, self.pictures = Path(data_dir, path), pictures
        self.arrays = map_arrays(self.path)
        lengths = {name: len(array) for name, array in self.arrays.items()}
        if not lengths:
            raise FileNotFoundError(f"{self.path} contains no arrays")
        if len(set(lengths.values())) > 1:
            raise OSError(f"{self.path}: the arrays differ in length: {lengths}")
        found = {name: _describe_pictures(array) for name, array in self.arrays.items() if name in pictures}
        self.raw = {name: picture for name, picture in found.items() if picture is not None}

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        rows = np.asarray(indices)  # convert once, not for each array
        # Indexing a plain array is faster than indexing a memmap.
        return self.augment({name: self._tensor(name, np.asarray(array)[rows]) for name, array in self.arrays.items()})

    @property
    def labels(self) -> Tensor | None:
        """The array `label`, if there is one."""
        return self._tensor("label", np.asarray(self.arrays["label"])) if "label" in self.arrays else None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"arrays": {}}  # a spawned worker maps the files itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"arrays": map_arrays(state["path"])}

    def _tensor(self, name: str, rows: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(rows if rows.dtype.isnative else rows.astype(rows.dtype.newbyteorder("=")))
        if name in self.pictures and tensor.dtype == torch.uint8:
            scaled = tensor.float().div_(255)
            return scaled.unsqueeze(1) if scaled.ndim == 3 else scaled
        if tensor.is_floating_point():
            return tensor.float()
        if tensor.is_complex():
            return tensor.to(torch.complex64)
        return tensor if tensor.dtype == torch.bool else tensor.long()


def _describe_pictures(array: np.ndarray) -> Picture | None:
    """Return what the pictures in an array are; None if they are not square, or neither grey nor RGB."""
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] != array.shape[-2]:
        return None
    size, channels = array.shape[-1], array.shape[1] if array.ndim == 4 else 1
    return Picture(1, size) if channels == 1 else Picture(3, size) if channels == 3 else None


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file, an .npy file or a directory of .npy files, by name.

    Raises:
        FileNotFoundError: the path does not exist.
        OSError: a file is damaged, or an array has a dtype that no tensor has.
    """
    if path.is_dir():
        return {file.stem: _map_file(file) for file in sorted(path.glob("*.npy"))}
    if path.suffix.lower() != ".npz":
        return {path.stem: _map_file(path)}
    with path.open("rb") as file, _readable(path), zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        return {member.filename.removesuffix(".npy"): _map_member(path, archive, member) for member in members}


def _map_file(path: Path) -> np.ndarray:
    with path.open("rb") as file, _readable(path):
        return _map(path, 0, _read_header(file, path.stat().st_size))


def _map_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Map an array in an archive; load it if it is compressed."""
    with _readable(f"{path}, {member.filename}"):
        with archive.open(member) as file:
            header = _read_header(file, member.file_size)
        if member.compress_type != zipfile.ZIP_STORED:
            with archive.open(member) as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        with path.open("rb") as raw:
            raw.seek(member.header_offset + 26)  # lengths of the last two fields of the local zip header
            start = member.header_offset + 30 + int(np.frombuffer(raw.read(4), "<u2").sum())
        ends = (archive.start_dir, *(other.header_offset for other in archive.infolist()))
        if start + member.file_size > min(end for end in ends if end > member.header_offset):
            raise ValueError("it is damaged: it overlaps the next entry of the archive")
        return _map(path, start, header)


def _map(path: Path, start: int, header: _Header) -> np.ndarray:
    order: Literal["F", "C"] = "F" if header.is_fortran else "C"
    return np.memmap(path, header.dtype, "r", start + header.size, header.shape, order)


def _read_header(file: IO[bytes], size: int) -> _Header:
    """Read the header of an array in a file of `size` bytes; those of a damaged file may say anything."""
    version = np.lib.format.read_magic(file)
    if version not in _READ_HEADER:
        raise ValueError(f"its format has version {version[0]}; known: 1 to 3")
    header = _Header(*_READ_HEADER[version](file), file.tell())
    shape, dtype = header.shape, header.dtype
    if dtype.kind not in "biufc" or dtype.itemsize > _LARGEST.get(dtype.kind, 8):
        raise ValueError(f"its dtype {dtype} has no tensor of equal values; save it as int64, float64 or complex128")
    if not shape or any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"its shape is {shape}; it must be (N, ...), with a row for each of N samples")
    if (needed := math.prod(shape) * dtype.itemsize) > size - header.size:
        raise ValueError(f"it is damaged: {shape} {dtype} takes {needed} bytes, but there are {size - header.size}")
    return header


@contextmanager
def _readable(what: object) -> Iterator[None]:
    """Raise OSError, whose message is all that a user needs, for whatever a damaged file raises in the `with` block."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{what} cannot be read: {str(error)[:200]}") from error
