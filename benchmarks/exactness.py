"""What it costs that a run is the same bit for bit, on the digits.

The seeds and the order of a step over the step itself, and an epoch under each `trainer.deterministic` over one
without; medians.

    python -m benchmarks.exactness --rounds 5
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from benchmarks.training import loaders, whole
from project.core.order import Batches
from project.core.randomness import seed_all
from project.models.resnet import ResNet

BATCH = 64


def median(call: Callable[[], object], times: int) -> float:
    """Seconds of a call."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def seeds_and_order() -> None:
    """Of a step of the digits, and of one from a hundred million samples."""
    net = ResNet(1, 10)
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    batch = next(iter(loaders(BATCH)[0]))

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(batch["image"])["logits"], batch["label"]).backward()
        optimizer.step()

    def seeds() -> None:
        seed_all(0, "data.train", "batch", 3, 5, 0)
        seed_all(0, "step", "train", 123, 0)

    base = median(step, 100)
    print(f"a step of {BATCH} digits          {1e3 * base:8.3f} ms")
    batches = {"of 1,269": Batches(1269, BATCH, 0, True), "of 10 ** 8": Batches(10**8, BATCH, 0, True)}
    costs = {"seeds of fetch and step": median(seeds, 1000)}
    for name, order in batches.items():
        some = list(itertools.islice(order, 64))
        costs[f"order {name}"] = median(lambda order=order: list(itertools.islice(order, 64)), 50) / len(some)  # type: ignore[misc]
    costs["seeds of a sample alone"] = median(lambda: seed_all(0, "data.train", "sample", 3, 5), 1000)
    for name, seconds in costs.items():
        print(f"{name:<26} {1e3 * seconds:8.3f} ms  {100 * seconds / base:6.2f} %")


def determinism(rounds: int) -> None:
    """Interleaves the settings, so that a change of the machine's speed hits all."""
    times: dict[str, list[float]] = {"false": [], "warn": [], "true": []}
    with tempfile.TemporaryDirectory() as folder:
        for i, setting in itertools.product(range(rounds), times):
            marks = whole(folder, f"{setting}{i}", BATCH, "--trainer.deterministic", setting)
            times[setting] += [end - start for start, end in itertools.pairwise(marks[1:])]
    medians = {setting: statistics.median(seconds) for setting, seconds in times.items()}
    for setting, seconds in medians.items():
        print(f"deterministic: {setting:<11} {1e3 * seconds:8.1f} ms an epoch  {seconds / medians['false']:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    seeds_and_order()
    determinism(arguments.rounds)
