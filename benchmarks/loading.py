"""Loading of JPEGs, in samples per second, compared with torch's DataLoader over the same dataset; memory of workers.

Both decode and augment alike; our loader also seeds each sample. A second part measures the time to read a picture,
compared with usual code for Pillow, and a third the memory of workers that read an array of 400 MB.

    python -m benchmarks.loading --rounds 5
"""

import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.common import alternate, arguments, report
from project.core.data.loading import build_loader
from project.datasets.arrays import Arrays
from project.datasets.components.picture_cache import Cache, Pictures
from project.datasets.image_folder import ImageFolder
from project.deploy import jpeg
from project.deploy.inputs import Picture
from project.deploy.picture_files import find_pictures
from project.transforms.random_crop import RandomCrop
from project.transforms.random_flip import RandomFlip

BATCH = 50
SETS = {64: 5000, 512: 500}  # number of pictures by side


def write_pictures(folder: Path, side: int, count: int) -> None:
    """Write JPEGs of two classes: smooth noise, with files as large as those of photographs."""
    generator = np.random.default_rng(side)
    for number in range(count):
        path = folder / f"class{number % 2}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(path, quality=90)


def speed(folder: Path, side: int, workers: int, rounds: int) -> None:
    """Alternate the two loaders, so that changes in the speed of the machine affect both."""
    augmentation: Any = {"crop": RandomCrop(side - 8), "flip": RandomFlip()}
    dataset, count = ImageFolder(str(folder), augmentation=augmentation), SETS[side]
    options: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    loaders = {
        "plain": DataLoader(dataset, BATCH, shuffle=True, **options),
        "ours": build_loader(dataset, "train", BATCH, seed=0, is_training=True, **options),
    }
    times: dict[str, list[float]] = {name: [] for name in loaders}
    busy = []  # CPU time of the main process with our loader, relative to the time
    for number, name in itertools.product(range(rounds + 1), loaders):
        start, worked = time.perf_counter(), time.process_time()
        assert sum(len(batch["label"]) for batch in loaders[name]) == count
        if number:  # the first pass starts the workers
            times[name].append(time.perf_counter() - start)
            busy += [(time.process_time() - worked) / times[name][-1]] if name == "ours" else []
    rates = {name: count / statistics.median(seconds) for name, seconds in times.items()}
    report(
        f"{side:4d} x {side:<4d} {workers} workers   plain {rates['plain']:7.0f} samples/s   "
        f"ours {rates['ours']:7.0f}   ratio {rates['ours'] / rates['plain']:.3f}   "
        f"main process {100 * statistics.median(busy):3.0f} % busy"
    )


def reading(folder: Path, side: int, rounds: int) -> None:
    """Measure the CPU time to read a picture: with Pillow, with simplejpeg if it is installed, and from the caches."""
    files = find_pictures(folder)[:100]

    def read_plain(index: int, size: int | None) -> Tensor:
        with Image.open(files[index]) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
        image = image if size is None else ImageOps.fit(image, (size, size))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255

    def measure(read: Callable[[int], Tensor], package: ModuleType | None = None) -> list[float]:
        with patch.object(jpeg, "simplejpeg", package):
            start = time.process_time()
            for index in range(len(files)):
                read(index)
            return [1000 * (time.process_time() - start) / len(files)]

    for size in (None, side // 2):
        caches: tuple[Cache | None, ...] = (None, "ram", "disk")
        pictures = {name: Pictures(files, Picture(3, size), name, folder) for name in caches}
        calls = {
            "plain": partial(measure, partial(read_plain, size=size)),
            "Pillow": partial(measure, pictures[None].__getitem__),
            "ram": partial(measure, pictures["ram"].__getitem__),
            "disk": partial(measure, pictures["disk"].__getitem__),
        }
        if find_spec("simplejpeg"):
            calls["simplejpeg"] = partial(measure, pictures[None].__getitem__, import_module("simplejpeg"))
        times = alternate(calls, rounds)
        shown = "   ".join(f"{name} {ms:.2f} ({times['plain'] / ms:.2f})" for name, ms in times.items())
        scaled = "" if size is None else f", scaled to {size}"
        report(f"ms of the CPU per picture of {side} x {side}{scaled} (times as fast as plain): {shown}")


def memory(folder: Path) -> None:
    """Measure the private and the shared memory of workers that have read a whole array."""
    path = folder / "large.npy"
    np.save(path, np.zeros((100_000, 1000), dtype=np.float32))
    loader = build_loader(
        Arrays(str(path)), "train", 1000, seed=0, is_training=True, num_workers=2, persistent_workers=True
    )
    for _ in itertools.chain(loader, loader):
        pass
    for process in multiprocessing.active_children():
        fields = (line.split() for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:])
        sizes = {name: int(size) / 1024 for name, size, *_ in fields}
        alone, shared = sizes["Private_Dirty:"], sizes["Rss:"]
        report(f"a worker with an array of 400 MB: {alone:.0f} MB private, {shared:.0f} MB including shared memory")


if __name__ == "__main__":
    given = arguments(__doc__)
    with tempfile.TemporaryDirectory() as name:
        for side, count in SETS.items():
            write_pictures(Path(name, str(side)), side, count)
            for workers in (0, 2):
                speed(Path(name, str(side)), side, workers, given.rounds)
            reading(Path(name, str(side)), side, given.rounds)
        memory(Path(name))
