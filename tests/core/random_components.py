"""Components that draw random numbers, and callbacks that interrupt a run, for the tests of resuming."""

import ctypes
import io
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.utils.data import get_worker_info
from torchmetrics import Metric

from project.models.base import Model
from project.modules.base import SupervisedModule
from project.transforms.base import Transform
from tests.core.components import IndexImages, IndexStream


class Noisy(IndexImages):
    """Dataset whose samples contain noise from torch, numpy and python, drawn each time."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        noise = torch.rand(1, 8, 8) + float(np.random.rand()) + random.random()
        return {"image": index / self.length + noise, "label": torch.tensor(index % 10)}


class NoisyEpochs(Noisy):
    """Noisy dataset whose noise depends on the epoch, which it gets in both ways."""

    factor = 0.0

    def set_epoch(self, epoch: int) -> None:
        self.factor = 1 + epoch + random.random()

    def __getitem__(self, index: int, epoch: int = 9) -> dict[str, Tensor]:
        sample = super().__getitem__(index)
        return sample | {"image": sample["image"] * self.factor + epoch}


class Hanging(Noisy):
    """Noisy dataset that hangs at a sample, once; before, the main process gets a signal.

    Args:
        length: number of samples.
        at: index of the sample.
        how: sleep, sleep in a call of C that keeps Python's lock, or ignore exceptions.
        signals: name of the signal; None for none.
    """

    def __init__(self, length: int = 10, at: int = 0, how: str = "sleep", signals: str | None = None) -> None:
        super().__init__(length)
        self.at, self.how, self.signals = at, how, signals

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if index == self.at and not Path("struck.txt").exists():
            Path("struck.txt").touch()
            if self.signals:
                time.sleep(0.5)  # until the main process waits
                os.kill(os.getppid() if get_worker_info() else os.getpid(), signal.Signals[self.signals])
            while True:
                with suppress(*[Exception] if self.how == "ignore" else []):
                    ctypes.PyDLL(None).sleep(1000) if self.how == "c" else time.sleep(1000)
        return super().__getitem__(index)


class NoisyBatches(Noisy):
    """Noisy dataset that loads a whole batch in one call."""

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        noise = torch.rand(len(indices), 1, 8, 8) + float(np.random.rand()) + random.random()
        return {
            "image": torch.tensor(indices).view(-1, 1, 1, 1) / self.length + noise,
            "label": torch.tensor(indices) % 10,
        }


class Blended(Transform):
    """Transform of batches that adds a random other sample to each, and noise from numpy and python."""

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        image = sample["image"]
        noise = float(np.random.rand()) + random.random()
        return sample | {"image": image + image[torch.randperm(len(image))] + noise}


class Dropped(Model):
    """Net with dropout and batch normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 10)
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layers(image)}


class Convolved(Model):
    """Net of convolutions with several channels, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), *(nn.Flatten(), nn.Dropout(), nn.Linear(64, 10))
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layers(image)}


class Drawing(SupervisedModule):
    """Supervised module that draws random numbers in many of Lightning's hooks."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch | {"image": batch["image"] + torch.rand(1)}

    def on_train_epoch_start(self) -> None:
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.add_(0.01 * torch.rand(1))

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.log("drawn/val", torch.rand(1))

    def on_train_epoch_end(self) -> None:
        self.log("drawn/end", torch.rand(1))


class LogsAtStarts(Callback):
    """Callback that logs the number of each epoch when it starts."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("drawn/start", float(trainer.current_epoch))


class StopAt(Callback):
    """Callback that stops the training after a step; 0 stops it before the first."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop |= self.step == 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop |= trainer.global_step == self.step


class EpochAverage(WeightAveraging):
    """Mean of the weights at the ends of the epochs from `first` on."""

    def __init__(self, first: int, use_buffers: bool = True) -> None:
        super().__init__(use_buffers=use_buffers)
        self.first = first

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return epoch_idx is not None and epoch_idx >= self.first


class Trace(Callback):
    """Callback that writes the indices of the samples of each step to trace.RANK.txt."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, _: int) -> None:
        with Path(f"trace.{trainer.global_rank}.txt").open("a") as file:
            file.write(f"{batch['index'].tolist()}\n")


class NoisyStream(IndexStream):
    """Stateful iterable dataset without a length, whose samples contain noise."""

    def __init__(self, length: int = 10) -> None:
        super().__init__(length)
        self.next = 0

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while self.next < self.length:
            self.next += 1
            noise = torch.rand(1, 8, 8) + float(np.random.rand()) + random.random()
            yield {"image": self.next / self.length + noise, "label": torch.tensor(self.next % 10)}
        self.next = 0

    def state_dict(self) -> dict[str, int]:
        """Return the number of samples yielded."""
        return {"next": self.next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after these samples."""
        self.next = state["next"]


class AnnouncedStream(NoisyStream):
    """Stateful iterable dataset with a length that may be wrong; none for null."""

    def __init__(self, length: int = 42, announced: int | None = None) -> None:
        super().__init__(length)
        self.announced = announced

    def __len__(self) -> int:
        if self.announced is None:
            raise TypeError("no length")
        return self.announced


class Strike(Callback):
    """Callback that raises an exception or sends a signal to this process, once, at the n-th call of a hook.

    The file struck.txt keeps it from doing so again after a resume.

    Args:
        hook: name of a callback's hook.
        count: number of the call, from 1.
        what: name of a signal, or `exception`.
    """

    def __init__(self, hook: str, count: int, what: str) -> None:
        self.what, self.left = what, count
        setattr(self, hook, self.called)

    def called(self, *_: Any) -> None:
        """Count the calls."""
        self.left -= 1
        if self.left == 0 and not Path("struck.txt").exists():
            Path("struck.txt").touch()
            if self.what == "exception":
                raise ZeroDivisionError("on purpose")
            os.kill(os.getpid(), signal.Signals[self.what])


class KilledWhileWriting(Callback):
    """Callback that kills the process, once, after half of the n-th checkpoint was written to the disk."""

    def __init__(self, count: int) -> None:
        self.left = count

    def on_train_start(self, *_: Any) -> None:
        save = torch.save

        def save_half(checkpoint: Any, file: Any) -> None:
            self.left -= 1
            if self.left or Path("struck.txt").exists():
                save(checkpoint, file)
                return
            Path("struck.txt").touch()
            whole = io.BytesIO()
            save(checkpoint, whole)
            with file:
                file.write(whole.getvalue()[: whole.tell() // 2])
            os.kill(os.getpid(), signal.SIGKILL)

        torch.save = save_half  # type: ignore[assignment]


class Failing(Callback):
    """Callback that makes one rank fail before a step, once: it raises, is killed, or is stopped."""

    def __init__(self, rank: int, step: int, how: str) -> None:
        self.rank, self.step, self.how = rank, step, how

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if (trainer.global_rank, trainer.global_step) == (self.rank, self.step) and not Path("struck.txt").exists():
            Path("struck.txt").touch()
            if self.how == "raises":
                raise ZeroDivisionError("on purpose")
            os.kill(os.getpid(), signal.SIGKILL if self.how == "killed" else signal.SIGSTOP)


class StruckWhileBuilt(Noisy):
    """Noisy dataset that takes a second to build; the second process on a machine gets SIGTERM meanwhile."""

    def __init__(self, length: int = 10) -> None:
        super().__init__(length)
        if os.environ.get("LOCAL_RANK") == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)


class Listed(Metric):
    """Metric with a list state that torchmetrics gathers element by element."""

    found: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("found", [], dist_reduce_fx=None)

    def update(self, logits: Tensor) -> None:
        self.found += list(logits.amax(1))

    def compute(self) -> Tensor:
        return torch.stack(self.found).mean()


class Lingering(Callback):
    """Callback that keeps rank 0 busy after an interruption."""

    def on_exception(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            time.sleep(7)


class Slow(Callback):
    """Callback that makes training, validation and saving slow, and prints which of them runs."""

    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds = seconds

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._print(trainer, "trained")

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._print(trainer, "validating")

    def on_save_checkpoint(self, trainer: pl.Trainer, *_: Any) -> None:
        self._print(trainer, "saving")

    def _print(self, trainer: pl.Trainer, activity: str) -> None:
        if trainer.is_global_zero:
            print(activity, "at step", trainer.global_step, file=sys.stderr, flush=True)
        time.sleep(self.seconds)
