"""Arrays in numpy's files."""

import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from project.datasets.base import Dataset, Transform
from project.registry import DATASET_REGISTRY


@DATASET_REGISTRY.register()
class Arrays(Dataset):
    """Arrays of one length: the rows of each are a tensor of the samples, by the array's name.

    They are mapped into memory, so all workers share them and only what is used is read; compressed ones are loaded.
    Arrays (N, H, W) or (N, C, H, W) of uint8 are pictures: (C, H, W) in [0, 1]. Other integers become int64, other
    floats float32.

    Args:
        path: an .npz file, an .npy file or a folder of these, in `data_dir` unless it is absolute; an .npy file's
            name is its array's.
        augmentation: transforms by name, in order.
        data_dir: where the data lies.
    """

    example: ClassVar[dict[str, Any]] = {"path": str(Path(__file__).with_name("digits.npz"))}

    def __init__(self, path: str, augmentation: dict[str, Transform] | None = None, data_dir: str = ".") -> None:
        super().__init__(augmentation)
        file = Path(data_dir, path)
        self.arrays = map_arrays(file)
        lengths = {name: len(array) for name, array in self.arrays.items()}
        if not lengths:
            raise FileNotFoundError(f"{file}: there are no arrays in it")
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{file}: its arrays are of different lengths: {lengths}")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        return self.augment({name: _tensor(array[indices]) for name, array in self.arrays.items()})


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, of an .npy file, or of a folder of these, by name.

    Raises:
        FileNotFoundError: nothing is there.
    """
    if path.is_dir():
        return {file.stem: np.load(file, mmap_mode="r") for file in sorted(path.glob("*.npy"))}
    if path.suffix != ".npz":
        return {path.stem: np.load(path, mmap_mode="r")}
    with zipfile.ZipFile(path) as archive, np.load(path) as loaded:
        members = {name: archive.getinfo(f"{name}.npy") for name in loaded.files}
        return {
            name: _map_member(path, member) if member.compress_type == zipfile.ZIP_STORED else loaded[name]
            for name, member in members.items()
        }


def _map_member(path: Path, member: zipfile.ZipInfo) -> np.ndarray:
    """An array that lies uncompressed in an archive: what numpy itself maps only in files of their own."""
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)  # of the zip format's local header: the lengths of its last two fields
        name_length, extra_length = np.frombuffer(file.read(4), "<u2")
        file.seek(int(name_length) + int(extra_length), 1)
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran_order, dtype = read_header[version](file)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran_order else "C")


def _tensor(rows: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(rows)
    if tensor.dtype == torch.uint8 and tensor.ndim >= 3:
        pictures = tensor.float() / 255
        return pictures.unsqueeze(1) if pictures.ndim == 3 else pictures
    if tensor.is_floating_point():
        return tensor.float()
    return tensor if tensor.dtype == torch.bool else tensor.long()
