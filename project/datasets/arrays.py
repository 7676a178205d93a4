"""Arrays in NumPy files."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from project.datasets.base import Dataset, Transform
from project.registry import DATASET_REGISTRY

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@DATASET_REGISTRY.register()
class Arrays(Dataset):
    """NumPy arrays of equal length N; row i of each array is a tensor of sample i, named after the array.

    The arrays are memory-mapped, so rows are read when they are used, and workers share them; compressed arrays are
    loaded. Integers become int64, floats float32.

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
        lengths = {name: array.shape[0] if array.ndim else 0 for name, array in self.arrays.items()}
        if not lengths:
            raise FileNotFoundError(f"{self.path} contains no arrays")
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{self.path}: the arrays differ in length: {lengths}")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        rows = np.asarray(indices)  # convert once, not for each array
        # Indexing a plain array is faster than indexing a memmap.
        return self.augment({name: self._tensor(name, np.asarray(array)[rows]) for name, array in self.arrays.items()})

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"arrays": {}}  # a spawned worker maps the files itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"arrays": map_arrays(state["path"])}

    def _tensor(self, name: str, rows: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(rows)
        if name in self.pictures and tensor.dtype == torch.uint8:
            scaled = tensor.float().div_(255)
            return scaled.unsqueeze(1) if scaled.ndim == 3 else scaled
        if tensor.is_floating_point():
            return tensor.float()
        return tensor if tensor.dtype == torch.bool else tensor.long()


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file, an .npy file or a directory of .npy files, by name.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: an array contains Python objects.
    """
    if path.is_dir():
        return {file.stem: np.load(file, mmap_mode="r") for file in sorted(path.glob("*.npy"))}
    if path.suffix.lower() != ".npz":
        return {path.stem: np.load(path, mmap_mode="r")}
    with zipfile.ZipFile(path) as archive, np.load(path) as loaded:
        members = {item.filename.removesuffix(".npy"): item for item in archive.infolist() if ".npy" in item.filename}
        mapped = {name: _map_member(path, member) for name, member in members.items()}
        return {name: loaded[name] if array is None else array for name, array in mapped.items()}


def _map_member(path: Path, member: zipfile.ZipInfo) -> np.ndarray | None:
    """Map an array in an archive (NumPy maps only .npy files); return None if it cannot be mapped."""
    if member.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)  # lengths of the last two fields of the local zip header
        file.seek(int(np.frombuffer(file.read(4), "<u2").sum()), 1)
        read_header = _HEADERS.get(np.lib.format.read_magic(file))
        if read_header is None:
            return None
        shape, fortran_order, dtype = read_header(file)
        if dtype.hasobject:
            return None
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran_order else "C")
