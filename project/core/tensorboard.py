"""TensorBoard: the logger, its writers and its event files."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Points = dict[str, tuple[int | None, Any]]


class DedupTensorBoardLogger(TensorBoardLogger):
    """TensorBoard logger that writes a point once; Lightning's repeats points while gradients are accumulated.

    By default it writes to RUN/event, whose files a resumed run continues. `last_points` are the step and value that
    were logged last, by name; a checkpoint contains them.
    """

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "",
        version: int | str | None = "event",
        default_hp_metric: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(save_dir, name, version, default_hp_metric=default_hp_metric, **kwargs)
        self.last_points: Points = {}

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        values: dict[str, Any] = {
            name: value if isinstance(value, dict) else float(value) for name, value in metrics.items()
        }
        points = {name: (step, value) for name, value in values.items() if name != "epoch"}
        new = {name: point for name, point in points.items() if self.last_points.get(name) != point}
        self.last_points |= new
        super().log_metrics({name: value for name, (_, value) in new.items()}, step)


def find_dedup_logger(trainer: pl.Trainer) -> DedupTensorBoardLogger | None:
    """Return the engine's TensorBoard logger; None if the yaml names another or none."""
    return next((logger for logger in trainer.loggers if isinstance(logger, DedupTensorBoardLogger)), None)


def tensorboard_writers(trainer: pl.Trainer) -> "list[SummaryWriter]":
    """Return the writers of a trainer's TensorBoard loggers; empty on ranks other than 0."""
    loggers = trainer.loggers if trainer.is_global_zero else []
    return [logger.experiment for logger in loggers if isinstance(logger, TensorBoardLogger)]


def list_event_files(directory: Path) -> list[Path]:
    """Return TensorBoard's files in a directory."""
    return list(directory.glob("events.out.tfevents.*"))


def truncate_event_files(files: list[Path], sizes: Mapping[str, int]) -> None:
    """Cut event files to earlier sizes by name, and remove those without a size: later points are logged again."""
    for file in files:
        if file.name in sizes:
            os.truncate(file, min(sizes[file.name], file.stat().st_size))
        else:
            file.unlink()
