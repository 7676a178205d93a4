"""What a run records of itself: its config, in every checkpoint and in TensorBoard, and how it ended."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from project.core.yaml_files import Tree, parse_yaml

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Records(Callback):
    """Writes the config beside the weights and the curves.

    Args:
        config: the whole configuration as yaml.
        folder: of TensorBoard's files.
    """

    def __init__(self, config: str, folder: Path) -> None:
        self.config, self.folder = config, folder

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # An interval longer than an epoch would leave the curves of a small set empty.
        steps = max(1, trainer.num_training_batches / trainer.accumulate_grad_batches)
        trainer.log_every_n_steps = int(min(trainer.log_every_n_steps, steps))  # type: ignore[attr-defined]
        for board in tensorboards(trainer) if trainer.global_step == 0 else ():
            board.add_text("config", f"```yaml\n{self.config}```")

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["run_config"] = self.config
        for key in (pl_module.CHECKPOINT_HYPER_PARAMS_KEY, pl.LightningDataModule.CHECKPOINT_HYPER_PARAMS_KEY):
            checkpoint.pop(key, None)  # objects, often; the config has all of it
        for board in tensorboards(trainer):
            board.flush()
        checkpoint["rounding"] = rounding()
        checkpoint["event_sizes"] = {file.name: file.stat().st_size for file in event_files(self.folder)}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        from torch.utils.tensorboard.summary import hparams  # not on the way to `--help`

        values = {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
        hyper_parameters = flatten(parse_yaml(self.config, "the config"))
        # Not by way of the logger: it would draw one more point into each curve.
        for board in tensorboards(trainer):
            for summary in hparams(hyper_parameters, values):
                board.file_writer.add_summary(summary)  # type: ignore[attr-defined]


class Curves(TensorBoardLogger):
    """TensorBoard without points that say the same again, as Lightning's do while batches are accumulated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._last: dict[str, tuple[int | None, Any]] = {}

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        points = {name: (step, value) for name, value in metrics.items() if name != "epoch"}
        new = {name: point for name, point in points.items() if self._last.get(name) != point}
        self._last |= new
        super().log_metrics({name: value for name, (_, value) in new.items()}, step)


def tensorboards(trainer: pl.Trainer) -> "list[SummaryWriter]":
    """The TensorBoard writers of a run; none on other ranks than the first."""
    loggers = trainer.loggers if trainer.is_global_zero else []
    return [logger.experiment for logger in loggers if isinstance(logger, TensorBoardLogger)]


def rewind_events(files: list[Path], sizes: dict[str, int]) -> None:
    """Takes TensorBoard's files back to when a checkpoint was written: what came after it is logged once more."""
    for file in files:
        if file.name in sizes:
            os.truncate(file, min(sizes[file.name], file.stat().st_size))
        else:
            file.unlink()


def rounding() -> dict[str, str | int]:
    """What a machine's sums depend on."""
    return {"torch": str(torch.__version__), "CPU threads": torch.get_num_threads()}


def event_files(folder: Path) -> list[Path]:
    """TensorBoard's files."""
    return list(folder.glob("events.out.tfevents.*"))


def flatten(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """`{a: {b: [1, 2]}}` as `{"a.b": "[1, 2]"}`: what TensorBoard takes for hyper-parameters."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat
