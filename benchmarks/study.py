"""Time of `table` over 5,000 small runs, and over 100 runs with long curves, and of reading event files.

python -m benchmarks.study --rounds 3
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch.utils.tensorboard import SummaryWriter

from benchmarks.common import alternate, arguments, report
from project.core.config.yaml_files import dump_yaml, read_config
from project.study.events import read_curves

ROOT = Path(__file__).parent.parent
SMALL, LONG, TAGS, POINTS = 5000, 100, 20, 2000


def write_runs(root: Path, count: int, events: Path | None) -> None:
    """Write runs of 10 rates and any number of seeds; without events, the summary has the last values."""
    tree = read_config(ROOT / "configs" / "default.yaml")
    for number in range(count):
        run = root / f"{number // 10:04d}_seed{number % 10}"
        (run / "checkpoints").mkdir(parents=True)
        (run / "eval" / "test").mkdir(parents=True)
        model = tree.get("model", {}) | {"optimizer": {"type": "AdamW", "lr": 1e-3 * (1 + number // 10 % 10)}}
        own = {"name": run.name, "root": str(root), "seed": number, "model": model}
        text = dump_yaml(json.loads(json.dumps(tree | own)))
        (run / "config.yaml").write_text(text)
        best = {"monitor": "val/loss", "value": 1 / (number + 1), "epoch": 2, "step": 8, "file": None}
        summary = {"state": "finished", "reason": "", "best": best, "seconds": 1.0, "steps": 10}
        summary |= {} if events else {"values": {"val/loss": 0.5, "train/loss": 0.4}}
        (run / "summary.json").write_text(json.dumps(summary))
        (run / "eval" / "test" / "metrics.json").write_text(json.dumps({"accuracy": 0.9, "loss": 0.4}))
        if events:
            shutil.copytree(events, run / "event")


def write_events(directory: Path) -> None:
    """Write the curves of one run."""
    with SummaryWriter(str(directory)) as writer:
        for step in range(POINTS):
            for tag in range(TAGS):
                writer.add_scalar(f"train/{'metric' * (1 + tag % 4)}{tag}", step / (tag + 1), 5 * step)


def time_table(root: Path) -> list[float]:
    """Return the seconds of the command, with the start of Python."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "cli.py", "table", str(root)], cwd=ROOT, capture_output=True, check=True)
    return [time.perf_counter() - start]


def time_events(run: Path) -> list[float]:
    """Return the seconds in which the curves of a run are read."""
    start = time.perf_counter()
    read_curves(run)
    return [time.perf_counter() - start]


def time_accumulator(run: Path) -> list[float]:
    """Return the seconds in which TensorBoard reads them."""
    start = time.perf_counter()
    EventAccumulator(str(run / "event"), size_guidance={"scalars": 0}).Reload()
    return [time.perf_counter() - start]


def measure(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        small, long, events = (Path(folder) / name for name in ("small", "long", "events"))
        write_events(events)
        write_runs(small, SMALL, None)
        write_runs(long, LONG, events)
        run = next(iter(sorted(long.iterdir())))
        for count, root in ((SMALL, small), (LONG, long)):
            seconds = statistics.median(time_table(root)[0] for _ in range(rounds))
            label = f"table of {count} runs" + (f" of {TAGS} curves of {POINTS} points" if root == long else "")
            report(f"{label:<50} {seconds:5.2f} s")
        times = alternate({"ours": lambda: time_events(run), "theirs": lambda: time_accumulator(run)}, rounds)
        ratio = times["theirs"] / times["ours"]
        report(
            f"{'event file of such a run':<50} {times['ours']:5.3f} s; EventAccumulator takes {ratio:.1f} times as long"
        )


if __name__ == "__main__":
    measure(arguments(__doc__).rounds)
