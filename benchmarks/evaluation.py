"""Cost of `test`: configs/mlp_arrays.yaml on 55,000 pictures, compared with plain loops over tensors in memory.

The first plain loop only computes the mean loss and the accuracy; the second uses torchmetrics for the accuracy and
writes the same samples.csv, a row per picture with its loss and accuracy, with Python's csv.

    python -m benchmarks.evaluation --threads 1
"""

import csv
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from benchmarks.common import CONFIG, COUNT, Clock, alternate, arguments, report, write_pictures
from benchmarks.training import build_net
from project.core.cli.main import main


def plain(path: Path, batch: int, table: Path | None) -> float:
    """Return the seconds of a loop without a framework."""
    with np.load(path) as arrays:
        image, label = (torch.from_numpy(arrays[name]) for name in ("image", "label"))
    net = build_net().eval()
    start = time.perf_counter()
    losses, right = [], []
    metric = MulticlassAccuracy(10, average="micro", validate_args=False)
    with torch.inference_mode():
        for pictures, labels in zip(image.split(batch), label.split(batch), strict=True):
            logits = net(pictures.float() / 255)["logits"]
            losses.append(F.cross_entropy(logits, labels, reduction="none"))
            right.append(logits.argmax(1) == labels)
            if table is not None:
                metric.update(logits, labels)
    loss, accuracy = torch.cat(losses), torch.cat(right).float()
    assert float(loss.mean()) > 0
    assert 0 <= float(accuracy.mean()) <= 1
    if table is not None:
        assert float(metric.compute()) == float(accuracy.mean())
        with table.open("w", newline="") as file:
            rows = zip(range(COUNT), loss.tolist(), accuracy.tolist(), strict=True)
            csv.writer(file).writerows([("index", "cross_entropy", "accuracy"), *rows])
    return time.perf_counter() - start


def whole(path: Path, results: Path) -> float:
    """Return the seconds of `cli.py test` from the first batch to the written results."""
    run = str(path.parent / "mlp_arrays")
    assert main(["test", "--ckpt_path", run, "--results_dir", str(results), "--trust"]) == 0  # it names Clock
    start, end = Clock.marks
    return end - start


def measure(batch: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.npz"
        write_pictures(path)
        argv = ["fit", "--config", str(CONFIG), "--data.train.path", str(path), "--root", folder]
        argv += ["--data.eval", f"{{type: Arrays, path: {path}}}", "--data.batch_size", str(batch)]
        argv += ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.accelerator", "cpu"]
        assert main([*argv, "--trainer.callbacks", "[{type: benchmarks.common.Clock}]"]) == 0
        results = (Path(folder, "results", str(number)) for number in itertools.count())
        loops = {
            "net, loss and accuracy": lambda: [plain(path, batch, None)],
            "with torchmetrics and csv": lambda: [plain(path, batch, Path(folder, "samples.csv"))],
            "cli.py test": lambda: [whole(path, next(results))],
        }
        medians = alternate(loops, rounds)
    for name, median in medians.items():
        ratio = medians["cli.py test"] / median
        report(f"batches of {batch}: {name:<26} {1000 * median:6.0f} ms   cli.py test takes {ratio:.3f} times as long")


if __name__ == "__main__":
    given = arguments(__doc__)
    for size in (128, 512):
        measure(size, given.rounds)
