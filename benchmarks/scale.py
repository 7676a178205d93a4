"""What grows with samples, losses and metrics, and processes: time and memory per step.

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

from benchmarks.common import BATCH, CONFIG, COUNT, Clock, alternate, arguments, tell, write_pictures
from benchmarks.training import seconds
from project.core.agreement import Agreement
from project.core.main import main
from project.core.order import Batches

OUT = "SCALE_OUT"  # where Report writes to


class Report(pl.Callback):
    """Writes what a step takes, and what of it the processes need to agree, into the file of the environment."""

    def __init__(self) -> None:
        self.agreeing, self.start, self.skipped = 0.0, 0.0, 20

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        exchange = Agreement.exchange

        def timed(*arguments: Any) -> list[int]:
            start = time.perf_counter()
            answer = exchange(*arguments)
            self.agreeing += time.perf_counter() - start
            return answer

        Agreement.exchange = timed  # type: ignore[method-assign, assignment]

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, number: int) -> None:
        if number == self.skipped:
            self.agreeing, self.start = 0.0, time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        steps = trainer.global_step - self.skipped
        took = {"step": (time.perf_counter() - self.start) / steps, "agreeing": self.agreeing / steps}
        if trainer.is_global_zero:
            Path(os.environ[OUT]).write_text(json.dumps(took))


def samples(rounds: int) -> None:
    """The order of the samples: time to begin and per batch, and memory."""
    for length in (10**4, 10**6, 10**8):
        batches = Batches(length, BATCH, seed=0, shuffle=True)

        def begin(batches: Batches = batches) -> list[float]:
            start = time.perf_counter()
            next(iter(batches))
            return [time.perf_counter() - start]

        def go_on(batches: Batches = batches) -> list[float]:
            some = itertools.islice(batches, 78)
            start = time.perf_counter()
            count = sum(1 for _ in some)
            return [(time.perf_counter() - start) / count]

        medians = alternate({"first": begin, "each": go_on}, rounds)
        tracemalloc.start()
        next(iter(batches))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        tell(
            f"{length:>11,} samples: {1e3 * medians['first']:.2f} ms to the first batch, "
            f"{1e6 * medians['each']:.1f} us for each, {peak / 2**20:.2f} MB"
        )
    start = time.perf_counter()
    torch.randperm(10**8)
    tell(f"100,000,000 samples: torch.randperm takes {time.perf_counter() - start:.1f} s, and 763 MB")


def terms(path: Path, rounds: int) -> None:
    """Several losses and metrics, which are computed at each step and at the logged ones."""

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
        tell(f"{count:>3} losses and metrics: {1e6 * medians[str(count)]:.0f} us a step")


def processes(path: Path, rounds: int) -> None:
    """The same batch of 128, shared out; on one machine they share its cores, too."""

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
        tell(
            f"{count} processes: {step:.0f} us a step, of which {agreeing:.0f} us to agree whether to save and to stop"
        )


if __name__ == "__main__":
    given = arguments(__doc__)
    samples(given.rounds)
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures.npz"
        write_pictures(pictures)
        terms(pictures, given.rounds)
        processes(pictures, given.rounds)
