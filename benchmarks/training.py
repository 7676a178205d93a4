"""Cost of the engine: `cli.py fit` with configs/mlp_arrays.yaml, compared with a plain torch loop and bare Lightning.

All three train the same net on 55,000 pictures of 28x28 in memory with fused Adam. The plain loop indexes tensors; bare
Lightning uses the engine's loader and logs nothing; the CLI logs and saves as usual, and shows its progress bar in a
terminal. Prints medians over epochs of alternating runs, and their ratios.

    python -m benchmarks.training --threads 1
"""

import itertools
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.common import BATCH, CONFIG, COUNT, Clock, alternate, arguments, report, write_pictures
from project.core.cli.main import main
from project.core.data.loading import build_loader
from project.datasets.arrays import Arrays
from project.models.mlp import MLP

EPOCHS = 5


class Bare(pl.LightningModule):
    """Minimal LightningModule."""

    def __init__(self) -> None:
        super().__init__()
        self.net = build_net()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch["image"])["logits"], batch["label"])

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-3, fused=True)


def build_net() -> MLP:
    return MLP(28 * 28, 10, hidden=[64, 128, 64], batch_norm=True)


def seconds(marks: list[float]) -> list[float]:
    """Return the seconds of each epoch except the first, a warm-up, and the last, which includes the end of the run."""
    return [end - start for start, end in itertools.pairwise(marks[1:])]


def plain(path: Path) -> list[float]:
    """Return the seconds of each epoch of a loop without a framework."""
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
    return seconds(marks)


def bare(path: Path) -> list[float]:
    """Return the seconds of each epoch with only Lightning's Trainer."""
    trainer = pl.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[Clock()], default_root_dir=path.parent,
    )  # fmt: skip
    trainer.fit(Bare(), build_loader(Arrays(str(path)), "train", BATCH, seed=0, is_training=True))
    return seconds(Clock.marks[:EPOCHS])


def whole(path: Path) -> list[float]:
    """Return the seconds of each epoch of `cli.py fit`, including logs, progress and checkpoints."""
    argv = ["fit", "--config", str(CONFIG), "--data.train.path", str(path), "--root", str(path.parent), "--replace"]
    argv += ["--trainer.max_epochs", str(EPOCHS), "--trainer.accelerator", "cpu"]
    assert main([*argv, "--trainer.callbacks", "[{type: benchmarks.common.Clock}]"]) == 0
    return seconds(Clock.marks[:EPOCHS])


def measure(rounds: int) -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.npz"
        write_pictures(path)
        loops = {"plain torch": plain, "bare Lightning": bare, "cli.py fit": whole}
        medians = alternate({name: lambda loop=loop: loop(path) for name, loop in loops.items()}, rounds)  # type: ignore[misc]
    for name, median in medians.items():
        ratio = medians["cli.py fit"] / median
        report(
            f"{name:<16} {1000 * median:6.0f} ms per epoch, {1e6 * median / (COUNT // BATCH):5.0f} us per step"
            f"   cli.py fit takes {ratio:.3f} times as long"
        )


if __name__ == "__main__":
    measure(arguments(__doc__).rounds)
