"""Time to the help, to the message for an error and to the first step, compared with the import of LightningCLI.

python -m benchmarks.startup --rounds 5
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from benchmarks.common import arguments, report

ROOT = Path(__file__).parent.parent
FIT = ["cli.py", "fit", "--config", "configs/digits.yaml"]
BASE, CUT_SHORT = "import pytorch_lightning.cli", "import pytorch_lightning.cli, os; os._exit(0)"
FIRST_STEP = "first step of the digits"  # exits without the cleanup of Python
COMMANDS = {
    BASE: ["-c", BASE],
    CUT_SHORT: ["-c", CUT_SHORT],
    "cli.py --help": ["cli.py", "--help"],
    "cli.py fit --help": ["cli.py", "fit", "--help"],
    "cli.py fit --model.net.help ResNet": ["cli.py", "fit", "--model.net.help", "ResNet"],
    "unknown setting": [*FIT, "--model.net.widht", "8"],
    "wrong type": [*FIT, "--data.batch_size", "many"],
    "missing checkpoint": ["cli.py", "test", "--ckpt_path", "experiments/nothing"],
    FIRST_STEP: [*FIT, "--trainer.callbacks", "[{type: benchmarks.startup.EndAtOnce}]"],
}


class EndAtOnce(pl.Callback):
    """Callback that exits the process after its first step."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        os._exit(0)


def measure(rounds: int) -> None:
    """Alternate the commands, so that changes in the speed of the machine affect all of them."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for i in range(rounds + 1):
        for name, command in COMMANDS.items():
            with tempfile.TemporaryDirectory() as folder:
                options = ["--root", folder] if name == FIRST_STEP else []
                start = time.perf_counter()
                subprocess.run([sys.executable, *command, *options], cwd=ROOT, capture_output=True, check=False)
                if i:  # the first round warms the file cache
                    times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, median in medians.items():
        base = medians[CUT_SHORT if name == FIRST_STEP else BASE]
        report(f"{name:<45} {median:5.2f} s  {median / base:5.2f} times, {median - base:+.2f} s")


if __name__ == "__main__":
    measure(arguments(__doc__).rounds)
