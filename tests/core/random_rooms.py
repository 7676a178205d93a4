"""Rooms that draw random numbers wherever they can, and callbacks that disturb a run; for tests of exact resume."""

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback
from torch import Tensor, nn
from torchmetrics import Metric

from project.core.module import SupervisedModule
from project.models.base import Model
from tests.core.rooms import Counted, Stream


class Noisy(Counted):
    """Each sample is drawn anew each time, by torch, numpy and python."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        noise = torch.rand(1, 8, 8) + float(np.random.rand()) + random.random()
        return {"image": index / self.length + noise, "label": torch.tensor(index % 10)}


class NoisyBatches(Noisy):
    """The same, in one call."""

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        noise = torch.rand(len(indices), 1, 8, 8) + float(np.random.rand()) + random.random()
        return {
            "image": torch.tensor(indices).view(-1, 1, 1, 1) / self.length + noise,
            "label": torch.tensor(indices) % 10,
        }


class Dropped(Model):
    """Has dropout and batch statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 10)
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layers(image)}


class Convolved(Model):
    """Has convolutions between which there are several channels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), *(nn.Flatten(), nn.Dropout(), nn.Linear(64, 10))
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layers(image)}


class Drawing(SupervisedModule):
    """Draws wherever Lightning lets it."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch | {"image": batch["image"] + torch.rand(1)}

    def on_train_epoch_start(self) -> None:
        with torch.no_grad():
            for parameter in self.parameters():
                parameter += 0.01 * torch.rand(1)

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.log("drawn/val", torch.rand(1))

    def on_train_epoch_end(self) -> None:
        self.log("drawn/end", torch.rand(1))


class StopAt(Callback):
    """Asks for the end behind a step; at once where that was done before."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop |= self.step == 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop |= trainer.global_step == self.step


class Trace(Callback):
    """Writes to trace.RANK.txt which samples each step got."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, _: int) -> None:
        with Path(f"trace.{trainer.global_rank}.txt").open("a") as file:
            file.write(f"{batch['index'].tolist()}\n")


class NoisyStream(Stream):
    """Iterable, without a length, drawn anew each time; knows where it stands."""

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
        """How many were yielded."""
        return {"next": self.next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on behind them."""
        self.next = state["next"]


class Strike(Callback):
    """Does something bad when a hook is called the n-th time, once: struck.txt says that it was done.

    Args:
        hook: name of a callback's hook.
        count: at which call.
        what: the name of a signal, which this process gets, or `exception`.
    """

    def __init__(self, hook: str, count: int, what: str) -> None:
        self.what, self.left = what, count
        setattr(self, hook, self.called)

    def called(self, *_: Any) -> None:
        """Counts down."""
        self.left -= 1
        if self.left == 0 and not Path("struck.txt").exists():
            Path("struck.txt").touch()
            if self.what == "exception":
                raise ZeroDivisionError("on purpose")
            os.kill(os.getpid(), signal.Signals[self.what])


class KilledWhileWriting(Callback):
    """Ends the process when half of the n-th checkpoint is written, once."""

    def __init__(self, count: int) -> None:
        self.left = count

    def on_train_start(self, *_: Any) -> None:
        save = torch.save

        def half(checkpoint: Any, file: Any) -> None:
            self.left -= 1
            save(checkpoint, file)
            if self.left == 0 and not Path("struck.txt").exists():
                Path("struck.txt").touch()
                file._filled //= 2
                file._drain()
                os.kill(os.getpid(), signal.SIGKILL)

        torch.save = half


class Failing(Callback):
    """Fails in one process before a step, once: it raises, is killed, or stands still."""

    def __init__(self, rank: int, step: int, how: str) -> None:
        self.rank, self.step, self.how = rank, step, how

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if (trainer.global_rank, trainer.global_step) == (self.rank, self.step) and not Path("struck.txt").exists():
            Path("struck.txt").touch()
            if self.how == "raises":
                raise ZeroDivisionError("on purpose")
            os.kill(os.getpid(), signal.SIGKILL if self.how == "killed" else signal.SIGSTOP)


class StruckWhileBuilt(Noisy):
    """The second process gets SIGTERM while it builds the set, which takes the others longer."""

    def __init__(self, length: int = 10) -> None:
        super().__init__(length)
        if os.environ.get("LOCAL_RANK") == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)


class Listed(Metric):
    """Keeps a tensor for each sample, which is gathered one by one."""

    found: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("found", [], dist_reduce_fx=None)

    def update(self, logits: Tensor) -> None:
        self.found += list(logits.amax(1))

    def compute(self) -> Tensor:
        return torch.stack(self.found).mean()


class Lingering(Callback):
    """The first process has something to do when the run was interrupted."""

    def on_exception(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            time.sleep(7)


class Slow(Callback):
    """Takes its time in steps, in validation and in saving, and says where it is."""

    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds = seconds

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._say(trainer, "trained")

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._say(trainer, "validating")

    def on_save_checkpoint(self, trainer: pl.Trainer, *_: Any) -> None:
        self._say(trainer, "saving")

    def _say(self, trainer: pl.Trainer, doing: str) -> None:
        if trainer.is_global_zero:
            print(doing, "at step", trainer.global_step, file=sys.stderr, flush=True)
        time.sleep(self.seconds)
