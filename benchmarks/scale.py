"""Scaling: time and memory per step for many samples, losses and metrics, and processes.

python -m benchmarks.scale --rounds 5
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml

from benchmarks.common import BATCH, CONFIG, COUNT, Clock, alternate, arguments, report, write_pictures
from benchmarks.training import seconds
from project.core.cli.main import main
from project.core.data.sampling import ResumableBatchSampler
from project.core.distributed.reduction import MaxReducer

OUT = "SCALE_OUT"  # environment variable with the output file of Report


class Report(pl.Callback):
    """Callback that writes the time of a step, and the part spent on agreement between processes, to a file."""

    def __init__(self) -> None:
        self.agreeing, self.start, self.skipped = 0.0, 0.0, 20

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        exchange = MaxReducer.reduce_delayed

        def timed(*arguments: Any) -> list[int]:
            start = time.perf_counter()
            answer = exchange(*arguments)
            self.agreeing += time.perf_counter() - start
            return answer

        MaxReducer.reduce_delayed = timed  # type: ignore[method-assign, assignment]

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, number: int) -> None:
        if number == self.skipped:
            self.agreeing, self.start = 0.0, time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        steps = trainer.global_step - self.skipped
        took = {"step": (time.perf_counter() - self.start) / steps, "agreeing": self.agreeing / steps}
        if trainer.is_global_zero:
            Path(os.environ[OUT]).write_text(json.dumps(took))


def samples(rounds: int) -> None:
    """Measure the order of samples: time to the first batch and per batch, and memory."""
    for length in (10**4, 10**6, 10**8):
        batches = ResumableBatchSampler(length, BATCH, seed=0, is_training=True)

        def first(batches: ResumableBatchSampler = batches) -> list[float]:
            start = time.perf_counter()
            next(iter(batches))
            return [time.perf_counter() - start]

        def following(batches: ResumableBatchSampler = batches) -> list[float]:
            some = itertools.islice(batches, 78)
            start = time.perf_counter()
            count = sum(1 for _ in some)
            return [(time.perf_counter() - start) / count]

        medians = alternate({"first": first, "each": following}, rounds)
        tracemalloc.start()
        next(iter(batches))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        report(
            f"{length:>11,} samples: {1e3 * medians['first']:.2f} ms to the first batch, "
            f"{1e6 * medians['each']:.1f} us per batch, {peak / 2**20:.2f} MB"
        )
    start = time.perf_counter()
    torch.randperm(10**8)
    report(f"100,000,000 samples: torch.randperm takes {time.perf_counter() - start:.1f} s, and 763 MB")


def terms(path: Path, rounds: int) -> None:
    """Measure several losses, computed at each step, and metrics, computed at logged steps."""

    def train(count: int) -> list[float]:
        model = {
            "loss": {f"loss{i}": {"type": "CrossEntropy", "weight": 0.5} for i in range(count)},
            "metric": {f"metric{i}": {"type": "Accuracy", "num_classes": 10} for i in range(count)},
        }
        config = yaml.safe_load(CONFIG.read_text()) | {"base": str(CONFIG.parent / "default.yaml")}
        config["model"] |= model
        (path.parent / "terms.yaml").write_text(yaml.safe_dump(config))
        argv = ["fit", "--config", str(path.parent / "terms.yaml"), "--data.train.path", str(path), "--replace"]
        argv += ["--root", str(path.parent), "--trainer.max_epochs", "3", "--trainer.accelerator", "cpu"]
        assert main([*argv, "--trainer.callbacks", "[{type: benchmarks.common.Clock}]"]) == 0
        return [each / (COUNT // BATCH) for each in seconds(Clock.marks[:3])]

    counts = (1, 5, 20)
    medians = alternate({str(count): lambda count=count: train(count) for count in counts}, rounds)  # type: ignore[misc]
    for count in counts:
        report(f"{count:>3} losses and metrics: {1e6 * medians[str(count)]:.0f} us per step")


def processes(path: Path, rounds: int) -> None:
    """Measure a batch of 128 split over processes, which also share the cores of the machine."""

    def train(count: int) -> dict[str, float]:
        options = ["--data.train.path", str(path), "--root", str(path.parent), "--replace", "--trainer.max_epochs", "1"]
        options += ["--trainer.accelerator", "cpu", "--trainer.devices", str(count)]
        options += ["--trainer.callbacks", "[{type: benchmarks.scale.Report}]"]
        environment = os.environ | {OUT: str(path.parent / "out.json"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "cli.py", "fit", "--config", str(CONFIG), *options]
        subprocess.run(command, cwd=CONFIG.parent.parent, env=environment, check=True, capture_output=True)
        took: dict[str, float] = json.loads((path.parent / "out.json").read_text())
        return took

    for count in (1, 2, 4):
        took = [train(count) for _ in range(rounds)]
        step, agreeing = (1e6 * statistics.median(each[what] for each in took) for what in ("step", "agreeing"))
        report(f"{count} processes: {step:.0f} us per step, of which {agreeing:.0f} us to agree on saving and stopping")


if __name__ == "__main__":
    given = arguments(__doc__)
    samples(given.rounds)
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures.npz"
        write_pictures(pictures)
        terms(pictures, given.rounds)
        processes(pictures, given.rounds)
