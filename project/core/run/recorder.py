"""Recording of a run's configuration in checkpoints and TensorBoard, and of its last values in TensorBoard."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from project.core.config.yaml_files import Tree, parse_yaml
from project.core.run.checkpoint_header import CheckpointHeader, numeric_environment
from project.core.run.loggers import logger_states
from project.core.run.run_directory import LOG
from project.core.tensorboard import find_dedup_logger, list_event_files, tensorboard_writers


class ConfigRecorder(Callback):
    """Callback that adds the header to checkpoints, and the configuration to TensorBoard.

    Args:
        config: the whole configuration as yaml.
        directory: the run directory.
        is_resumable: returns whether the checkpoint that is being saved is resumable.
    """

    def __init__(self, config: str, directory: Path, is_resumable: Callable[[], bool]) -> None:
        self.config, self.directory, self.is_resumable = config, directory, is_resumable

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # With an interval longer than an epoch, the curves of a small dataset would stay empty.
        steps = max(1, trainer.num_training_batches / trainer.accumulate_grad_batches)
        trainer.log_every_n_steps = int(min(trainer.log_every_n_steps, steps))  # type: ignore[attr-defined]
        for writer in tensorboard_writers(trainer) if trainer.global_step == 0 else ():
            writer.add_text("config", f"```yaml\n{self.config}```")

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Hyper-parameters are often objects, and the configuration contains all of them.
        for key in (pl_module.CHECKPOINT_HYPER_PARAMS_KEY, pl.LightningDataModule.CHECKPOINT_HYPER_PARAMS_KEY):
            checkpoint.pop(key, None)
        for writer in tensorboard_writers(trainer):
            writer.flush()
        sizes = {file.name: file.stat().st_size for file in list_event_files(self.directory / "event")}
        logger, log = find_dedup_logger(trainer), self.directory / LOG
        points = logger.last_points if logger else {}
        log_size = log.stat().st_size if log.exists() else 0
        states = logger_states(trainer, self.directory)
        header = CheckpointHeader(
            self.config, self.is_resumable(), sizes, numeric_environment(), points, log_size, states
        )
        header.add_to(checkpoint)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        from torch.utils.tensorboard.summary import hparams  # slow to import, and not needed for `--help`

        values = {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
        hyper_parameters = flatten(parse_yaml(self.config, "the config"))
        # Not with the logger's own method, which would add a point to each curve.
        for writer in tensorboard_writers(trainer):
            for summary in hparams(hyper_parameters, values):
                writer.file_writer.add_summary(summary)  # type: ignore[attr-defined]


def flatten(tree: Tree, prefix: str = "") -> dict[str, bool | int | float | str]:
    """Return a tree as TensorBoard takes hyper-parameters: `{a: {b: [1, 2]}}` becomes `{"a.b": "[1, 2]"}`."""
    flat: dict[str, bool | int | float | str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat
