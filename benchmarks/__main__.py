"""Runs benchmarks one by one, and tells at the end what they measured, on which machine and with which versions.

    python -m benchmarks
    python -m benchmarks training evaluation --threads 2

On a terminal, where the progress bar is shown as well. All of them take half an hour.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.common import TOLD

NAMES = sorted(
    file.stem for file in Path(__file__).parent.glob("*.py") if file.stem[0] != "_" and file.stem != "common"
)
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "numpy", "pillow")


def machine() -> str:
    """The processor, how many cores, and versions."""
    processor = platform.processor() or platform.machine()
    if (file := Path("/proc/cpuinfo")).exists():
        lines = (line.partition(":") for line in file.read_text().splitlines())
        processor = next((value.strip() for key, _, value in lines if key.strip() == "model name"), processor)
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}; Python {platform.python_version()}, {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all unless given")
    parser.add_argument("--rounds", type=int, default=5, help="repeats, of which the median is told")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        told.touch()
        options = ["--rounds", str(given.rounds), "--threads", str(given.threads)]
        for name in given.names or NAMES:
            command = [sys.executable, "-m", f"benchmarks.{name}", *options]
            subprocess.run(command, check=True, env=os.environ | {TOLD: str(told)})
        print(
            f"\n{machine()}; threads of torch: {given.threads}, medians of {given.rounds}\n\n{told.read_text()}", end=""
        )


if __name__ == "__main__":
    main()
