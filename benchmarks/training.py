"""What the engine costs: configs/mlp_arrays.yaml through the whole CLI, against a plain torch loop and bare Lightning.

All three train the same net on 55,000 pictures of 28x28 in memory with fused Adam. The plain loop indexes tensors; bare
Lightning has the engine's loader and logs nothing; the CLI logs and saves as it always does, and shows its bar on a
terminal. Prints medians over epochs of alternating runs, and their ratios.

    python -m benchmarks.training --threads 1
"""

import argparse
import importlib
import itertools
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from project.core.fetch import build_loader
from project.core.main import main
from project.datasets.arrays import Arrays
from project.models.mlp import MLP

CONFIG = Path(__file__).parent.parent / "configs" / "mlp_arrays.yaml"
COUNT, BATCH, EPOCHS = 55_000, 128, 5


class Clock(pl.Callback):
    """When each epoch began."""

    marks: ClassVar[list[float]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        Clock.marks.clear()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        Clock.marks.append(time.perf_counter())


class Bare(pl.LightningModule):
    """As little Lightning as does the job."""

    def __init__(self) -> None:
        super().__init__()
        self.net = build_net()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch["image"])["logits"], batch["label"])

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-3, fused=True)


def build_net() -> MLP:
    return MLP(28 * 28, 10, hidden=[64, 128, 64], batch_norm=True)


def write_pictures(path: Path) -> None:
    """Random pictures of ten classes."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (COUNT, 28, 28), dtype=np.uint8)
    np.savez(path, image=image, label=generator.integers(0, 10, COUNT))


def plain(path: Path) -> list[float]:
    """When each epoch began, in a loop without any framework."""
    with np.load(path) as arrays:
        image, label = (torch.from_numpy(arrays[name]) for name in ("image", "label"))
    net = build_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    marks = []
    for _ in range(EPOCHS):
        marks.append(time.perf_counter())
        for rows in torch.randperm(COUNT)[: COUNT // BATCH * BATCH].split(BATCH):
            loss = F.cross_entropy(net(image[rows].float() / 255)["logits"], label[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return marks


def bare(path: Path) -> list[float]:
    """The same under Lightning's Trainer and nothing else."""
    trainer = pl.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[Clock()], default_root_dir=path.parent,
    )  # fmt: skip
    trainer.fit(Bare(), build_loader(Arrays(str(path)), "train", BATCH, seed=0, training=True))
    return Clock.marks


def whole(path: Path) -> list[float]:
    """The same by way of the command line, with all that it logs, shows and saves."""
    argv = ["fit", "--config", str(CONFIG), "--data.train.path", str(path), "--root", str(path.parent), "--replace"]
    argv += ["--trainer.max_epochs", str(EPOCHS), "--trainer.accelerator", "cpu"]
    assert main([*argv, "--trainer.callbacks", "[{type: benchmarks.training.Clock}]"]) == 0
    return importlib.import_module("benchmarks.training").Clock.marks  # type: ignore[no-any-return]


def measure(rounds: int) -> None:
    """Interleaves the three, so that a change of the machine's speed hits all."""
    warnings.simplefilter("ignore")
    loops: dict[str, Callable[[Path], list[float]]] = {"plain torch": plain, "bare Lightning": bare, "whole CLI": whole}
    times: dict[str, list[float]] = {name: [] for name in loops}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.npz"
        write_pictures(path)
        for _ in range(rounds):
            for name, loop in loops.items():
                marks = loop(path)[1:]  # the first epoch warms up
                times[name] += [end - start for start, end in itertools.pairwise(marks)]
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in medians.items():
        print(f"{name:<16} {1000 * seconds:7.1f} ms an epoch, {1e6 * seconds / (COUNT // BATCH):6.0f} us a step")
    for name in ("plain torch", "bare Lightning"):
        print(f"whole CLI / {name:<16} {medians['whole CLI'] / medians[name]:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    measure(arguments.rounds)
