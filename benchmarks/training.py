"""What the engine costs: the digits run through the whole CLI, against a plain torch loop and bare Lightning.

All three train the same net on the same batches with the same fused optimizer and augmentation, and validate each
epoch. The CLI logs, draws and saves as configs/digits.yaml says. Prints medians over epochs, and their ratios.

    python benchmarks/training.py --rounds 5
"""

import argparse
import importlib
import itertools
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from project.core.fetch import build_loader
from project.core.main import main
from project.datasets.digits import Digits
from project.models.resnet import ResNet
from project.transforms.random_shift import RandomShift

CONFIG = Path(__file__).parent.parent / "configs" / "digits.yaml"
EPOCHS = 15


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
        self.net = ResNet(1, 10)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch["image"])["logits"], batch["label"], label_smoothing=0.1)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        logits = self.net(batch["image"])["logits"]
        F.cross_entropy(logits, batch["label"], label_smoothing=0.1)

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=3e-3, weight_decay=0.05, fused=True)


def loaders(batch_size: int) -> tuple[DataLoader[Any], DataLoader[Any]]:
    train = build_loader(Digits("train", {"shift": RandomShift(1)}), "train", batch_size, seed=0, training=True)
    return train, build_loader(Digits("val"), "val", batch_size, seed=0, training=False)


def plain(batch_size: int) -> list[float]:
    """When each epoch began, in a loop without any framework."""
    net, (train, val) = ResNet(1, 10), loaders(batch_size)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.05, fused=True)
    marks = []
    for _ in range(EPOCHS):
        marks.append(time.perf_counter())
        net.train()
        for batch in train:
            loss = F.cross_entropy(net(batch["image"])["logits"], batch["label"], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        net.eval()
        with torch.inference_mode():
            for batch in val:
                F.cross_entropy(net(batch["image"])["logits"], batch["label"], label_smoothing=0.1)
    return marks


def bare(folder: str, batch_size: int) -> list[float]:
    """The same under Lightning's Trainer and nothing else."""
    trainer = pl.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, gradient_clip_val=1.0, callbacks=[Clock()], default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(Bare(), *loaders(batch_size))
    return Clock.marks


def whole(folder: str, name: str, batch_size: int, *options: str) -> list[float]:
    """The same by way of the command line, with all that it logs, draws and saves."""
    argv = ["fit", "--config", str(CONFIG), "--root", folder, "--name", name, "--log_level", "ERROR"]
    argv += ["--data.batch_size", str(batch_size), *options]
    argv += ["--trainer.max_epochs", str(EPOCHS), "--trainer.callbacks", "[{type: benchmarks.training.Clock}]"]
    assert main([*argv, "--trainer.enable_model_summary", "false"]) == 0
    return importlib.import_module("benchmarks.training").Clock.marks  # type: ignore[no-any-return]


def measure(rounds: int, batch_size: int) -> None:
    """Interleaves the three, so that a change of the machine's speed hits all."""
    warnings.simplefilter("ignore")
    times: dict[str, list[float]] = {"plain torch": [], "bare Lightning": [], "whole CLI": []}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(rounds):
            found = {
                "plain torch": plain(batch_size),
                "bare Lightning": bare(folder, batch_size),
                "whole CLI": whole(folder, f"run{i}", batch_size),
            }
            for name, marks in found.items():  # the first epoch warms up
                times[name] += [end - start for start, end in itertools.pairwise(marks[1:])]
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in medians.items():
        print(f"{name:<16} {1000 * seconds:7.1f} ms an epoch")
    print(f"whole CLI / plain torch     {medians['whole CLI'] / medians['plain torch']:.3f}")
    print(f"whole CLI / bare Lightning  {medians['whole CLI'] / medians['bare Lightning']:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=64, help="smaller ones make longer epochs of shorter steps")
    arguments = parser.parse_args()
    measure(arguments.rounds, arguments.batch_size)
