"""What the engine costs: configs/mlp_arrays.yaml through the whole CLI, against a plain torch loop and bare Lightning.

All three train the same net on 55,000 pictures of 28x28 in memory with fused Adam. The plain loop indexes tensors; bare
Lightning has the engine's loader and logs nothing; the CLI logs and saves as it always does, and shows its bar on a
terminal: run it on one. Prints medians over epochs of alternating runs, and their ratios.

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

from benchmarks.common import BATCH, CONFIG, COUNT, Clock, alternate, arguments, tell, write_pictures
from project.core.fetch import build_loader
from project.core.main import main
from project.datasets.arrays import Arrays
from project.models.mlp import MLP

EPOCHS = 5


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


def seconds(marks: list[float]) -> list[float]:
    """Of each epoch but the first, which warms up, and the last, behind which comes what ends a run."""
    return [end - start for start, end in itertools.pairwise(marks[1:])]


def plain(path: Path) -> list[float]:
    """Seconds of epochs in a loop without any framework."""
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
    """The same under Lightning's Trainer and nothing else."""
    trainer = pl.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[Clock()], default_root_dir=path.parent,
    )  # fmt: skip
    trainer.fit(Bare(), build_loader(Arrays(str(path)), "train", BATCH, seed=0, training=True))
    return seconds(Clock.marks[:EPOCHS])


def whole(path: Path) -> list[float]:
    """The same by way of the command line, with all that it logs, shows and saves."""
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
        tell(
            f"{name:<16} {1000 * median:6.0f} ms an epoch, {1e6 * median / (COUNT // BATCH):5.0f} us a step"
            f"   cli.py fit takes {ratio:.3f} times that"
        )


if __name__ == "__main__":
    measure(arguments(__doc__).rounds)
