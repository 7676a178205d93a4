"""Components that are fitted to the training set, for the tests of fitting."""

import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback
from torch import Tensor, nn
from torch.nn import functional as F

from project.losses.base import Loss
from project.metrics.base import Metric
from project.registry import ConfigError
from project.transforms.base import Transform
from tests.core.random_components import Dropped

HERE = "tests.core.fitted_components"
# Every kind of component; the samples contain random numbers.
FITTED: dict[str, Any] = {
    "model": {
        "prepare": {"standardize": {"type": f"{HERE}.Standardize"}},
        "net": {"type": f"{HERE}.Centered"},
        "loss": {
            "cross_entropy": {"type": f"{HERE}.Balanced"},
            "renamed": {"type": f"{HERE}.Renamed", "weight": 0, "inputs": {"target": "label"}},
        },
        "metric": {"counted": {"type": f"{HERE}.Counted"}},
    },
    "data": {
        "batch_size": 6,
        "train": {"type": "tests.core.random_components.Noisy", "length": 42},
        "val": {"type": "tests.core.random_components.Noisy", "length": 20},
        "eval": {"type": "tests.core.random_components.Noisy", "length": 11},
    },
}
BUFFERS = (
    *("prepare.standardize.mean", "prepare.standardize.std", "net.center", "net.drawn"),
    *("losses.cross_entropy.weight", "losses.renamed.total", "fitted_metrics.counted.count"),
)


class Counted(Metric):
    """Metric that returns the number of training samples, which its buffer `count` has."""

    evaluated: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.empty(0, dtype=torch.long))
        self.add_state("evaluated", torch.tensor(0), dist_reduce_fx="sum")

    def fit_to(self, dataset: Any) -> None:
        """Count the samples."""
        self.count = torch.tensor(sum(1 for _ in dataset))

    def update(self, label: Tensor) -> None:
        """Count the samples that are evaluated."""
        self.evaluated += len(label)

    def compute(self) -> Tensor:
        """Return the number."""
        return self.count.float()


class Standardize(Transform, nn.Module):
    """Subtraction of the mean of all pixels, and division by their standard deviation; fitted if they are None."""

    def __init__(self, mean: float | None = None, std: float | None = None) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("std", std)):
            buffer = torch.empty(0) if value is None else torch.tensor(value)
            self.register_buffer(name, buffer, persistent=value is None)

    def fit_to(self, dataset: Any) -> None:
        """Set the buffers."""
        pixels = torch.stack([sample["image"] for sample in dataset]).double()
        self.mean, self.std = pixels.mean().float(), pixels.std().float()

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        return sample | {"image": (sample["image"] - self.mean) / self.std}


class Balanced(Loss):
    """Cross entropy of ten classes with balanced weights."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(0))

    def fit_to(self, dataset: Any) -> None:
        """Set the weights."""
        counts = torch.bincount(torch.stack([sample["label"] for sample in dataset]), minlength=10)
        self.weight = counts.sum() / (10 * counts)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(logits, label, self.weight)


class Centered(Dropped):
    """Net that subtracts the mean picture of the training set; a random number is fitted as well."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(1, 8, 8))
        self.register_buffer("drawn", torch.empty(0))

    def fit_to(self, dataset: Any) -> None:
        """Set the buffers."""
        self.center = torch.stack([sample["image"] for sample in dataset]).mean(0)
        self.drawn = torch.rand(1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return super().forward(image - self.center)


class Renamed(Loss):
    """Loss that is fitted to the tensor that its argument gets."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(()))

    def fit_to(self, dataset: Any) -> None:
        """Add up the targets."""
        self.total = torch.tensor(float(sum(sample["target"] for sample in dataset)))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return logits.mean()


class Forgetful(Dropped):
    """Net whose `fit_to` sets an attribute that is not saved."""

    def fit_to(self, dataset: Any) -> None:
        """Set an attribute."""
        self.mean = torch.zeros(1)


class Vocabulary(Dropped):
    """Net whose `fit_to` fills an attribute that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[int, int] = {}

    def fit_to(self, dataset: Any) -> None:
        """Number the labels."""
        for sample in dataset:
            self.numbers.setdefault(int(sample["label"]), len(self.numbers))


class Lazy(Dropped):
    """Net whose `fit_to` sets nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(0))

    def fit_to(self, dataset: Any) -> None:
        """Do nothing."""


class Undefined(Lazy):
    """Net whose `fit_to` computes NaN."""

    def fit_to(self, dataset: Any) -> None:
        """Compute the mean of nothing."""
        self.mean = torch.empty(0).mean()


class Widening(Dropped):
    """Net whose `fit_to` changes the shape of a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))

    def fit_to(self, dataset: Any) -> None:
        """Set the buffer."""
        self.mean = torch.zeros(3)


class Signalled(Dropped):
    """Net that gets SIGTERM, once, while it is fitted."""

    def fit_to(self, dataset: Any) -> None:
        """Send the signal."""
        if not Path("struck.txt").exists():
            Path("struck.txt").touch()
            signal.raise_signal(signal.SIGTERM)


class Waiting(Dropped):
    """Net that takes time to fit, and may then fail.

    Args:
        how: what happens: wait, error, mistake, or signal (SIGTERM to this process).
        seconds: the time.
    """

    def __init__(self, how: str, seconds: float = 1.0) -> None:
        super().__init__()
        self.how, self.seconds = how, seconds

    def fit_to(self, dataset: Any) -> None:
        """Wait."""
        time.sleep(self.seconds)
        if self.how == "error":
            raise ZeroDivisionError("on purpose")
        if self.how == "mistake":
            raise ConfigError("a mistake")
        if self.how == "signal":
            signal.raise_signal(signal.SIGTERM)


class WriteBuffers(Callback):
    """Callback that writes the fitted buffers of each process to buffers.RANK.pt."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        state = pl_module.state_dict()
        torch.save({name: state[name] for name in BUFFERS}, f"buffers.{trainer.global_rank}.pt")


def buffers(run: Path) -> dict[str, Tensor]:
    """Return the fitted buffers in the last checkpoint of a run."""
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return {name: saved[name] for name in BUFFERS}
