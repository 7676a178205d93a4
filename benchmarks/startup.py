"""How long one waits for help or for the message about a mistake, against the import of LightningCLI.

python benchmarks/startup.py --rounds 5
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIT = ["cli.py", "fit", "--config", "configs/digits.yaml"]
COMMANDS = {
    "import pytorch_lightning.cli": ["-c", "import pytorch_lightning.cli"],
    "cli.py --help": ["cli.py", "--help"],
    "cli.py fit --help": ["cli.py", "fit", "--help"],
    "cli.py fit --model.net.help ResNet": ["cli.py", "fit", "--model.net.help", "ResNet"],
    "unknown setting": [*FIT, "--model.net.widht", "8"],
    "wrong type": [*FIT, "--data.batch_size", "many"],
    "missing checkpoint": ["cli.py", "test", "--ckpt_path", "experiments/nothing"],
}


def measure(rounds: int) -> None:
    """Interleaves the commands, so that a change of the machine's speed hits all."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for i in range(rounds + 1):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, check=False)
            if i:  # the first round warms the file cache
                times[name].append(time.perf_counter() - start)
    base = statistics.median(next(iter(times.values())))
    for name, seconds in times.items():
        print(f"{name:<36} {statistics.median(seconds):5.2f} s  {statistics.median(seconds) / base:5.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    measure(parser.parse_args().rounds)
