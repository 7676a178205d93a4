"""Time per run of a sweep beyond its training, with its test, compared with the same two commands in new processes.

python -m benchmarks.sweep --rounds 5
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common import alternate, arguments, report
from project.core.config.paths import expand_paths
from project.core.config.yaml_files import read_config
from project.core.garbage import exclude_objects
from project.study.sweep.process import run_stage
from project.study.sweep.warm_up import warm_up

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "configs/digits.yaml"
THREADS = "OMP_NUM_THREADS"


def overhead(run: Callable[[Sequence[str], Path], int], epochs: int = 2) -> list[float]:
    """Return the seconds of a training and a test, without those of the training itself."""
    with tempfile.TemporaryDirectory() as folder:
        directory, log = Path(folder, "run"), Path(folder, "log.txt")
        own = ["--root", folder, "--name", directory.name, "--trainer.max_epochs", str(epochs)]
        start = time.perf_counter()
        codes = [run(["fit", "--config", str(DIGITS), *own], log), run(["test", "--ckpt_path", str(directory)], log)]
        seconds = time.perf_counter() - start
        assert codes == [0, 0], log.read_text()
        trained: float = json.loads((directory / "summary.json").read_text())["seconds"]
        return [seconds - trained]


def run_command(argv: Sequence[str], log: Path) -> int:
    """Run a stage in a new process."""
    command = [sys.executable, str(ROOT / "cli.py"), *argv]
    with log.open("a") as output:
        return subprocess.run(command, stdout=output, stderr=output, check=False).returncode


def measure(rounds: int) -> None:
    """Compare forked processes with new ones."""
    gc.disable()
    start = time.perf_counter()
    warm_up(expand_paths(read_config(DIGITS)))
    report(f"once per worker: preparation for its runs    {time.perf_counter() - start:5.2f} s")
    exclude_objects()
    calls = {
        "run of a sweep, beyond its training": lambda: overhead(run_stage),
        "cli.py fit and test, beyond the training": lambda: overhead(run_command),
    }
    for name, seconds in alternate(calls, rounds).items():
        report(f"{name:<45} {seconds:5.2f} s")


if __name__ == "__main__":
    given = arguments(__doc__)
    os.environ.setdefault(THREADS, str(given.threads))
    measure(given.rounds)
