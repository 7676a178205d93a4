"""What checkpoints cost: a perceptron of 25 million parameters under Adam, with one every 100 steps and with none.

Prints the time of 300 steps through the whole CLI, medians of alternating runs, and the peaks of memory.

    python -m benchmarks.checkpointing --threads 2
"""

import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl

from benchmarks.common import CONFIG, alternate, arguments, tell, write_pictures
from project.core.main import main

FIRST, LAST = 50, 350  # what is measured lies between these steps
WIDTHS = [3000, 3000, 3000, 1500]


class Between(pl.Callback):
    """Seconds between the two steps, and the peak of memory in MB."""

    start: ClassVar[float] = 0.0
    seconds: ClassVar[float] = 0.0
    peak: ClassVar[float] = 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step == FIRST:
            Path("/proc/self/clear_refs").write_text("5")  # Linux counts the peak from here
            Between.start = time.perf_counter()
        if trainer.global_step == LAST:
            Between.seconds = time.perf_counter() - Between.start
            status = Path("/proc/self/status").read_text().splitlines()
            Between.peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def train(path: Path, every: int, peaks: list[float]) -> list[float]:
    """Seconds of the steps."""
    from benchmarks.checkpointing import Between  # not the one of __main__

    argv = ["fit", "--config", str(CONFIG), "--data.train.path", str(path), "--root", str(path.parent), "--replace"]
    argv += ["--model.net.hidden", str(WIDTHS), "--data.batch_size", "32", "--trainer.accelerator", "cpu"]
    argv += ["--checkpoint.every_n_steps", str(every), "--trainer.max_steps", str(LAST + 10)]
    assert main([*argv, "--trainer.callbacks", "[{type: benchmarks.checkpointing.Between}]"]) == 0
    peaks.append(Between.peak)
    return [Between.seconds]


def measure(rounds: int) -> None:
    peaks: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.npz"
        write_pictures(path)
        runs = {"none": 0, "every 100 steps": 100}
        calls = {name: lambda name=name, every=every: train(path, every, peaks[name]) for name, every in runs.items()}  # type: ignore[misc]
        medians = alternate(calls, rounds)
        size = (Path(folder) / "mlp_arrays/checkpoints/last.ckpt").stat().st_size / 2**20
    for name, median in medians.items():
        tell(
            f"checkpoints: {name:<16} {1000 * median / (LAST - FIRST):6.1f} ms a step, {median / medians['none']:.3f}"
            f"   peak {statistics.median(peaks[name]):5.0f} MB"
        )
    growth = statistics.median(peaks["every 100 steps"]) - statistics.median(peaks["none"])
    tell(f"a checkpoint has {size:.0f} MB; the peak grows by {growth / size:.2f} times that")


if __name__ == "__main__":
    measure(arguments(__doc__).rounds)
