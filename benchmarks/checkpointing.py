"""Cost of checkpoints: a perceptron with 25 million parameters and Adam, with a checkpoint every 100 steps and without.

Prints the time of 300 steps of `cli.py fit`, medians of alternating runs, and the peak memory.

    python -m benchmarks.checkpointing --threads 2
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from benchmarks.common import CONFIG, arguments, report, write_pictures

FIRST, LAST = 50, 350  # measure between these steps
WIDTHS = [3000, 3000, 3000, 1500]
OUT = "CHECKPOINTING_OUT"  # environment variable with the output file of Report


class Report(pl.Callback):
    """Callback that writes the seconds per step and the peak memory in MB to a file."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step == FIRST:
            Path("/proc/self/clear_refs").write_text("5")  # reset the peak
            self.start = time.perf_counter()
        if trainer.global_step == LAST:
            seconds = time.perf_counter() - self.start
            status = Path("/proc/self/status").read_text().splitlines()
            peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
            Path(os.environ[OUT]).write_text(json.dumps({"step": seconds / (LAST - FIRST), "peak": peak}))


def train(path: Path, every: int, threads: int) -> dict[str, float]:
    """Train in a new process, so that its memory is separate, and return the measurements."""
    options = ["--data.train.path", str(path), "--root", str(path.parent), "--replace", "--data.batch_size", "32"]
    options += ["--model.net.hidden", str(WIDTHS), "--trainer.accelerator", "cpu"]
    options += ["--checkpoint.every_n_steps", str(every), "--trainer.max_steps", str(LAST + 10)]
    options += ["--trainer.callbacks", "[{type: benchmarks.checkpointing.Report}]"]
    environment = os.environ | {OUT: str(path.parent / "out.json"), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "cli.py", "fit", "--config", str(CONFIG), *options]
    subprocess.run(command, cwd=CONFIG.parent.parent, env=environment, check=True, capture_output=True)
    took: dict[str, float] = json.loads((path.parent / "out.json").read_text())
    return took


def measure(rounds: int, threads: int) -> None:
    """Alternate runs with and without checkpoints, so that changes in the speed of the machine affect both."""
    took: dict[int, list[dict[str, float]]] = {0: [], 100: []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.npz"
        write_pictures(path)
        for _ in range(rounds):
            for every, each in took.items():
                each.append(train(path, every, threads))
        size = (Path(folder) / "mlp_arrays/checkpoints/last.ckpt").stat().st_size / 2**20
    step, peak = (
        {every: statistics.median(one[what] for one in each) for every, each in took.items()}
        for what in ("step", "peak")
    )
    report(f"no checkpoints:               {1e3 * step[0]:6.1f} ms per step, peak {peak[0]:5.0f} MB")
    report(f"one of {size:.0f} MB every 100 steps: {1e3 * step[100]:6.1f} ms per step, peak {peak[100]:5.0f} MB")
    report(
        f"cost: {100 * (step[100] / step[0] - 1):.1f} % of the time, {(peak[100] - peak[0]) / size:.2f} times the size"
    )


if __name__ == "__main__":
    given = arguments(__doc__)
    measure(given.rounds, given.threads)
