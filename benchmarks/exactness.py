"""Cost of reproducibility, on the digits.

Prints the time for seeds and order relative to that of a step, and the time of an epoch for each value of
`trainer.deterministic`; medians.

    python -m benchmarks.exactness --rounds 5
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F

from benchmarks.common import Clock, alternate, arguments, report
from benchmarks.training import seconds
from project.core.cli.main import main
from project.core.data.loading import build_loader
from project.core.data.sampling import ResumableBatchSampler
from project.core.data.seeding import seed_all
from project.datasets.digits import Digits
from project.models.resnet import ResNet

CONFIG = Path(__file__).parent.parent / "configs" / "digits.yaml"
BATCH, EPOCHS = 64, 15


def median(call: Callable[[], object], times: int) -> float:
    """Return the median seconds of a call."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def seeds_and_order() -> None:
    """Measure the seeds and the order of a step, for 1,269 and for a hundred million samples."""
    net = ResNet(1, 10)
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    batch = next(iter(build_loader(Digits("train"), "train", BATCH, seed=0, is_training=True)))

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(batch["image"])["logits"], batch["label"]).backward()
        optimizer.step()

    def seeds() -> None:
        seed_all(0, "data.train", "batch", 3, 5, 0)
        seed_all(0, "step", "train", 123, 0)

    base = median(step, 100)
    report(f"a step of {BATCH} digits          {1e3 * base:8.3f} ms")
    batches = {
        "of 1,269": ResumableBatchSampler(1269, BATCH, 0, True),
        "of 10 ** 8": ResumableBatchSampler(10**8, BATCH, 0, True),
    }
    costs = {"seeds of fetch and step": median(seeds, 1000)}
    for name, order in batches.items():
        some = list(itertools.islice(order, 64))
        costs[f"order {name}"] = median(lambda order=order: list(itertools.islice(order, 64)), 50) / len(some)  # type: ignore[misc]
    costs["seeds of one sample"] = median(lambda: seed_all(0, "data.train", "sample", 3, 5), 1000)
    for name, cost in costs.items():
        report(f"{name:<26} {1e3 * cost:8.3f} ms  {100 * cost / base:6.2f} %")


def train(folder: str, setting: str) -> list[float]:
    """Return the seconds of each epoch of the digits with a value of `trainer.deterministic`."""
    argv = ["fit", "--config", str(CONFIG), "--root", folder, "--replace", "--log_level", "ERROR"]
    argv += ["--trainer.deterministic", setting, "--trainer.max_epochs", str(EPOCHS)]
    assert main([*argv, "--trainer.callbacks", "[{type: benchmarks.common.Clock}]"]) == 0
    return seconds(Clock.marks[:EPOCHS])


def determinism(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = ("false", "warn", "true")
        calls = {setting: partial(train, folder, setting) for setting in settings}
        medians = alternate(calls, rounds)
    for setting, median in medians.items():
        report(f"deterministic: {setting:<11} {1e3 * median:8.1f} ms per epoch  {median / medians['false']:.3f}")


if __name__ == "__main__":
    given = arguments(__doc__)
    seeds_and_order()
    determinism(given.rounds)
