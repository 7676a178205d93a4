"""Pictures of files: read on access, or kept decoded in RAM or on disk."""

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL
import torch
from filelock import FileLock
from loguru import logger
from PIL import Image
from torch import Tensor

from project.deploy.inputs import InputError, Picture

Cache = Literal["ram", "disk"]
_VERSION = 1  # of the files; another version does not read them
_READ_AT_ONCE = 256  # pictures that threads decode before they are stored


class Pictures:
    """Pictures `(channels, H, W)` in [0, 1] of files.

    With `cache="ram"`, the constructor decodes all pictures; worker processes share them with the process that started
    them, but each process of a run on several devices has its own. With `cache="disk"`, it writes the decoded pictures
    to a file in `directory`, which all processes and later runs read; if a picture has changed, it replaces the file.
    The values are the same as without a cache.

    Args:
        files: the picture files.
        picture: how they are read.
        cache: where decoded pictures are kept; None reads a file whenever its picture is used.
        directory: directory of the caches on disk.

    Raises:
        OSError: with a cache, a picture cannot be read, or the pictures do not fit.

    Example::

        pictures = Pictures(find_pictures(folder), Picture(size=64), "disk", Path(data_dir, ".cache"))
        pictures[0]  # (3, 64, 64)
    """

    def __init__(self, files: Sequence[Path], picture: Picture, cache: Cache | None, directory: Path) -> None:
        self.files, self.picture = files, picture
        self.path: Path | None = None  # of a cache on disk
        self.pixels: Tensor | None = None  # of all pictures, one after the other
        self.shapes = np.zeros((len(files), 2), np.int64)  # height and width
        if cache == "ram":
            self._decode_to_ram()
        elif cache == "disk":
            self._open_on_disk(directory)
        self.ends = self.shapes.prod(1).cumsum() * picture.channels

    def __getitem__(self, index: int) -> Tensor:
        if self.pixels is None:
            return torch.from_numpy(self.picture.read(self.files[index]))
        height, width = self.shapes[index].tolist()
        end = int(self.ends[index])
        start = end - height * width * self.picture.channels
        pixels = self.pixels[start:end].view(height, width, self.picture.channels)
        return torch.from_numpy(Picture.to_floats(pixels.numpy()))

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | ({"pixels": None} if self.path else {})  # a spawned worker maps the file itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.path is not None:
            self.pixels = self._map(self.path)

    def _decode_to_ram(self) -> None:
        needed = self._count_bytes()
        if needed > (available := _available_memory()):
            raise OSError(
                f"cache: ram needs {_describe(needed)} for {len(self.files)} pictures, but {_describe(available)} are "
                "available; use `cache: disk`, or a smaller `size`"
            )
        logger.info(f"decoding {len(self.files)} pictures into a cache: {_describe(needed)} in RAM")
        pixels, end = torch.empty(needed, dtype=torch.uint8), 0
        for decoded in self._decode():
            pixels[end : end + decoded.size] = torch.from_numpy(decoded).flatten()
            end += decoded.size
        self.pixels = pixels

    def _open_on_disk(self, directory: Path) -> None:
        name, state = self._fingerprints()
        path = directory / f"{name}-{state}.bin"
        try:
            if not self._is_complete(path):
                directory.mkdir(parents=True, exist_ok=True)
                with FileLock(directory / f"{name}.lock"):
                    if not self._is_complete(path):  # another process of the run may have written it
                        self._write(path, directory / f"{name}.tmp")
                        for old in set(directory.glob(f"{name}-*.bin")) - {path}:
                            old.unlink()  # of pictures that have changed since
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(f"cache: disk cannot write to {directory}: {error.strerror}; set data.data_dir") from error
        self.path = path
        self.pixels = self._map(path)
        logger.info(f"cache of {len(self.files)} pictures: {_describe(self.pixels.numel())} in {path}")

    def _write(self, path: Path, temporary: Path) -> None:
        temporary.unlink(missing_ok=True)  # of a process that was killed
        needed = self._count_bytes()
        if needed > (free := shutil.disk_usage(path.parent).free):
            raise OSError(
                f"cache: disk needs {_describe(needed)} for {len(self.files)} pictures, but {path.parent} has "
                f"{_describe(free)} free; remove old caches there, or use a smaller `size` or no cache"
            )
        logger.info(f"decoding {len(self.files)} pictures into a cache: {_describe(needed)} in {path.parent}")
        try:
            with temporary.open("wb") as file:
                for decoded in self._decode():
                    file.write(decoded.tobytes())
                file.write(self.shapes.tobytes())
                file.flush()
                os.fsync(file.fileno())  # else a crash of the machine may leave a file without its content
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _is_complete(self, path: Path) -> bool:
        size = path.stat().st_size - self.shapes.nbytes if path.is_file() else -1
        return size >= 0 and int(_read_shapes(path, len(self.files)).prod(1).sum()) * self.picture.channels == size

    def _map(self, path: Path) -> Tensor:
        """Read the shapes in a file, and map the pixels."""
        self.shapes = _read_shapes(path, len(self.files))
        size = path.stat().st_size - self.shapes.nbytes
        return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)

    def _count_bytes(self) -> int:
        """Return the size of all decoded pictures, which the headers of the files tell."""
        channels, size = self.picture.channels, self.picture.size
        if size is not None:
            return len(self.files) * size**2 * channels
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return sum(pool.map(_count_pixels, self.files)) * channels

    def _decode(self) -> Iterator[np.ndarray]:
        """Yield the pixels of each picture in order, and set the shapes."""
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for start in range(0, len(self.files), _READ_AT_ONCE):
                for index, pixels in enumerate(pool.map(self._read, self.files[start : start + _READ_AT_ONCE]), start):
                    self.shapes[index] = pixels.shape[:2]
                    yield pixels

    def _read(self, file: Path) -> np.ndarray:
        try:
            return self.picture.read_pixels(file)
        except InputError as error:
            raise OSError(str(error)) from error

    def _fingerprints(self) -> tuple[str, str]:
        """Return the name of the cache, by the paths and settings, and a digest that changes if a file does."""
        name = hashlib.sha256(f"{_VERSION} {PIL.__version__} {self.picture.channels} {self.picture.size}".encode())
        state = hashlib.sha256()
        for file in self.files:
            status = file.stat()
            name.update(f"\0{file.absolute()}".encode())
            state.update(f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\0".encode())
        return f"pictures-{name.hexdigest()[:32]}", state.hexdigest()[:32]


def _count_pixels(file: Path) -> int:
    """Return the number of pixels, which the header of a file tells."""
    try:
        with Image.open(file) as image:
            return image.width * image.height
    except Exception as error:
        raise OSError(f"{file} cannot be read: {error}") from error


def _read_shapes(path: Path, count: int) -> np.ndarray:
    """Return the heights and widths at the end of a cache."""
    with path.open("rb") as file:
        file.seek(-count * 2 * 8, os.SEEK_END)
        return np.frombuffer(file.read(), np.int64).reshape(count, 2)


def _available_memory() -> int:
    """Return how many bytes of RAM are available; no limit where the system does not tell."""
    limits = [sys.maxsize]
    for name, pattern, unit in (
        ("/proc/meminfo", r"MemAvailable: +(\d+)", 1024),
        ("/sys/fs/cgroup/memory.max", r"(\d+)", 1),
    ):
        if (file := Path(name)).is_file() and (found := re.search(pattern, file.read_text())):
            limits.append(int(found[1]) * unit)
    return min(limits)


def _describe(num_bytes: int) -> str:
    size, unit = next(each for each in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (0, "kB")) if num_bytes >= each[0])
    return f"{num_bytes / (size or 1e3):.1f} {unit}"
