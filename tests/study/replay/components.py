"""Components for the tests of replays; yaml names them by dotted path."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback
from torch import Tensor

from tests.core.random_components import Dropped, Noisy


class Writer(Callback):
    """Callback that writes into a directory, wherever the run is, in a way that its name says.

    Args:
        path: the directory.
        how: write, rename, mkdir, remove or link.
    """

    def __init__(self, path: str, how: str = "write") -> None:
        self.path, self.how = Path(path), how

    def on_train_batch_end(self, *_: Any) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / "own.txt"
        if self.how == "remove":
            (self.path / "config.yaml").unlink()
        elif self.how == "rename":
            (self.path / "config.yaml").rename(self.path / "renamed.yaml")
        elif self.how == "mkdir":
            (self.path / "new").mkdir()
        elif self.how == "link":
            Path("linked").symlink_to(self.path)
            Path("linked/own.txt").write_text("more")
        else:
            file.write_text("more")


class WritingSamples(Noisy):
    """Noisy dataset that writes a file for each sample.

    Args:
        length: number of samples.
        path: directory of the files.
    """

    def __init__(self, length: int, path: str) -> None:
        super().__init__(length)
        self.path = path

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if Path(self.path).is_dir():
            Path(self.path, f"{index}.txt").touch()
        return super().__getitem__(index)


class Counting(Callback):
    """Callback with a state that changes the learning rate after each validation."""

    def __init__(self) -> None:
        self.count = 0

    def on_validation_end(self, trainer: Any, *_: Any) -> None:
        self.count += 1
        for group in trainer.optimizers[0].param_groups if trainer.optimizers else ():
            group["lr"] *= 0.5

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]


class Remembering(Dropped):
    """Net that is changed by its evaluation."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if not self.training:
            self.seen += 0.125
        logits = super().forward(image)["logits"]
        return {"logits": logits * (1 + 0.1 * self.seen)}


class EpochMean(Callback):
    """Callback that logs the mean over an epoch of a value of its batches, which no checkpoint contains."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        pl_module.log("train/own", outputs["loss"], on_step=False, on_epoch=True, batch_size=1)
