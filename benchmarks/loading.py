"""Samples a second from folders of JPEGs, against torch's DataLoader over the same dataset; memory of the workers.

Both decode and augment alike; ours also seeds each sample, so that what it draws depends on nothing else. A second
table: what a worker holds of an array of 400 MB that all of them read.

    python -m benchmarks.loading --rounds 5
"""

import itertools
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader

from benchmarks.common import arguments, tell
from project.core.fetch import build_loader
from project.datasets.arrays import Arrays
from project.datasets.image_folder import ImageFolder
from project.transforms.random_crop import RandomCrop
from project.transforms.random_flip import RandomFlip

BATCH = 50
SETS = {64: 5000, 512: 500}  # how many pictures of which side


def write_pictures(folder: Path, side: int, count: int) -> None:
    """JPEGs of two classes: soft noise, about as large as photographs."""
    generator = np.random.default_rng(side)
    for number in range(count):
        path = folder / f"class{number % 2}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(path, quality=90)


def speed(folder: Path, side: int, workers: int, rounds: int) -> None:
    """Interleaves the two, so that a change of the machine's speed hits both."""
    augmentation: Any = {"crop": RandomCrop(side - 8), "flip": RandomFlip()}
    dataset, count = ImageFolder(str(folder), augmentation=augmentation), SETS[side]
    options: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    loaders = {
        "plain": DataLoader(dataset, BATCH, shuffle=True, **options),
        "ours": build_loader(dataset, "train", BATCH, seed=0, training=True, **options),
    }
    times: dict[str, list[float]] = {name: [] for name in loaders}
    busy = []  # the main process, while it gets our batches
    for number, name in itertools.product(range(rounds + 1), loaders):
        start, worked = time.perf_counter(), time.process_time()
        assert sum(len(batch["label"]) for batch in loaders[name]) == count
        if number:  # the first pass starts the workers
            times[name].append(time.perf_counter() - start)
            busy += [(time.process_time() - worked) / times[name][-1]] if name == "ours" else []
    rates = {name: count / statistics.median(seconds) for name, seconds in times.items()}
    tell(
        f"{side:4d} x {side:<4d} {workers} workers   plain {rates['plain']:7.0f} samples/s   "
        f"ours {rates['ours']:7.0f}   ratio {rates['ours'] / rates['plain']:.3f}   "
        f"main process {100 * statistics.median(busy):3.0f} % busy"
    )


def memory(folder: Path) -> None:
    """What the workers hold alone and what they share, with all of an array read."""
    path = folder / "large.npy"
    np.save(path, np.zeros((100_000, 1000), dtype=np.float32))
    loader = build_loader(
        Arrays(str(path)), "train", 1000, seed=0, training=True, num_workers=2, persistent_workers=True
    )
    for _ in itertools.chain(loader, loader):
        pass
    for process in multiprocessing.active_children():
        fields = (line.split() for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:])
        sizes = {name: int(size) / 1024 for name, size, *_ in fields}
        alone, shared = sizes["Private_Dirty:"], sizes["Rss:"]
        tell(f"a worker over an array of 400 MB: {alone:.0f} MB of its own, {shared:.0f} MB with what it shares")


if __name__ == "__main__":
    given = arguments(__doc__)
    with tempfile.TemporaryDirectory() as name:
        for side, count in SETS.items():
            write_pictures(Path(name, str(side)), side, count)
            for workers in (0, 2):
                speed(Path(name, str(side)), side, workers, given.rounds)
        memory(Path(name))
