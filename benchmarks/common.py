"""Code shared by the benchmarks."""

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
REPORT = "BENCHMARKS_REPORT"  # environment variable with the file that collects all results


class Clock(pl.Callback):
    """Callback that records the start of each training epoch and the start and end of a test, in seconds."""

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
    """Wait for the GPU, if there is one, and return the time in seconds."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def write_pictures(path: Path) -> None:
    """Write random pictures of ten classes."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (COUNT, 28, 28), dtype=np.uint8)
    np.savez(path, image=image, label=generator.integers(0, 10, COUNT))


def alternate(calls: Mapping[str, Callable[[], list[float]]], rounds: int) -> dict[str, float]:
    """Return the median of the seconds that each call returns; see `collect`."""
    return {name: statistics.median(each) for name, each in collect(calls, rounds).items()}


def collect(calls: Mapping[str, Callable[[], list[float]]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds that each call returns.

    The calls alternate, so that changes in the speed of the machine affect all of them. The first round is a warm-up.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            seconds = call()
            times[name] += seconds if number else []
    return times


def report(line: str) -> None:
    """Print a result, and append it to the file of all results."""
    print(line)
    if REPORT in os.environ:
        with Path(os.environ[REPORT]).open("a") as file:
            file.write(f"{line}\n")


def arguments(doc: str | None) -> argparse.Namespace:
    """Parse `--rounds` and `--threads`, and set the number of threads."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    return given
