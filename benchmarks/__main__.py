"""Run benchmarks one by one, and print the results at the end, with the machine and the versions of packages.

    python -m benchmarks
    python -m benchmarks training evaluation --threads 2

Run it in a terminal, so that the progress bar is included. All benchmarks take half an hour.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.common import REPORT

NAMES = sorted(
    file.stem for file in Path(__file__).parent.glob("*.py") if file.stem[0] != "_" and file.stem != "common"
)
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "numpy", "pillow")


def machine() -> str:
    """Describe the processor, the number of cores and the versions of packages."""
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
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"benchmarks to run, of {', '.join(NAMES)}; default: all"
    )
    parser.add_argument("--rounds", type=int, default=5, help="number of repetitions, whose median is printed")
    parser.add_argument("--threads", type=int, default=1, help="number of threads of torch")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.txt"
        report.touch()
        options = ["--rounds", str(given.rounds), "--threads", str(given.threads)]
        for name in given.names or NAMES:
            command = [sys.executable, "-m", f"benchmarks.{name}", *options]
            subprocess.run(command, check=True, env=os.environ | {REPORT: str(report)})
        print(
            f"\n{machine()}; threads of torch: {given.threads}, medians of {given.rounds}\n\n{report.read_text()}",
            end="",
        )


if __name__ == "__main__":
    main()
