"""A research project: rooms that its owner fills, and an engine that turns one yaml into a run."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule


def load(run: str | Path) -> "LightningModule":
    """The trained module of a run, in evaluation mode on the CPU.

    Args:
        run: a checkpoint, or a run's folder (checkpoints/best.ckpt, else the newest).

    Raises:
        ConfigError: there is no checkpoint, or it cannot be read.
    """
    from project.core.load import load_module

    return load_module(Path(run))
