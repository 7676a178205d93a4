"""What the benchmarks share."""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytorch_lightning as pl
import torch

CONFIG = Path(__file__).parent.parent / "configs" / "mlp_arrays.yaml"
COUNT, BATCH = 55_000, 128
TOLD = "BENCHMARKS_TOLD"  # the file of `python -m benchmarks`


class Clock(pl.Callback):
    """When each epoch began, and when a test began and ended."""

    marks: ClassVar[list[float]] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        Clock.marks.clear()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        Clock.marks.append(now())

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        Clock.marks.append(time.perf_counter())

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        Clock.marks.append(time.perf_counter())


def now() -> float:
    """The time in seconds, when a GPU has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def write_pictures(path: Path) -> None:
    """Random pictures of ten classes."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (COUNT, 28, 28), dtype=np.uint8)
    np.savez(path, image=image, label=generator.integers(0, 10, COUNT))


def alternate(calls: Mapping[str, Callable[[], list[float]]], rounds: int) -> dict[str, float]:
    """Medians of the seconds that the calls return.

    They take turns, so that a change of the machine's speed hits all; the first round warms up and does not count.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            seconds = call()
            times[name] += seconds if number else []
    return {name: statistics.median(each) for name, each in times.items()}


def tell(line: str) -> None:
    """Prints a result, and keeps it for the end, when all else that was printed has gone by."""
    print(line)
    if TOLD in os.environ:
        with Path(os.environ[TOLD]).open("a") as file:
            file.write(f"{line}\n")


def arguments(doc: str | None) -> argparse.Namespace:
    """`--rounds` and `--threads`, which is set."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    return given
