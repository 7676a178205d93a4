"""Recording of a run's configuration in checkpoints and TensorBoard, and of its last values in TensorBoard."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from project.core.model.run_length import log_interval
from project.core.run.checkpoint_header import CheckpointHeader, numeric_environment
from project.core.run.loggers import logger_states
from project.core.run.recorded_inputs import InputRecorder
from project.core.run.run_directory import LOG
from project.core.tensorboard import find_dedup_logger, list_event_files, tensorboard_writers


class ConfigRecorder(Callback):
    """Callback that adds the header to checkpoints, and the configuration to TensorBoard.

    Args:
        config: the whole configuration as yaml.
        hyper_parameters: the settings that TensorBoard shows as hyper-parameters.
        directory: the run directory.
        is_resumable: returns whether the checkpoint that is being saved is resumable.
        best_value: returns the monitored value of the best checkpoint by its name, if there is one.
        inputs: knows what the net takes.
    """

    def __init__(
        self,
        config: str,
        hyper_parameters: Mapping[str, Any],
        directory: Path,
        is_resumable: Callable[[], bool],
        best_value: Callable[[], Mapping[str, float]],
        inputs: InputRecorder,
    ) -> None:
        self.config, self.hyper_parameters, self.directory = config, hyper_parameters, directory
        self.is_resumable, self.best_value, self.inputs = is_resumable, best_value, inputs

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.log_every_n_steps = log_interval(trainer)  # type: ignore[attr-defined]
        for writer in tensorboard_writers(trainer) if trainer.global_step == 0 else ():
            writer.add_text("config", f"```yaml\n{self.config}```")
        self._write_hyper_parameters(trainer)

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
        states, found = logger_states(trainer, self.directory), self.inputs.found
        header = CheckpointHeader(
            self.config,
            self.is_resumable(),
            sizes,
            numeric_environment(),
            points,
            log_size,
            states,
            found.inputs_to_json(),
            found.classes,
        )
        header.add_to(checkpoint)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
        evaluated = {name: value for name, value in values.items() if name.startswith(("val/", "eval/"))}
        trained = {name: value for name, value in values.items() if not name.startswith("lr-")}
        final = {f"final/{name}": value for name, value in (evaluated or trained).items()}
        best = {f"best/{name}": value for name, value in self.best_value().items()}
        self._write_hyper_parameters(trainer, final | best)

    def _write_hyper_parameters(self, trainer: pl.Trainer, metrics: dict[str, float] | None = None) -> None:
        """Write hyper-parameters and, at the end, metrics as a TensorBoard run of their own, instead of an earlier one.

        TensorBoard's table has a column for each scalar of such a run. That of several runs has the columns of all.
        """
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and not needed for `--help`
        from torch.utils.tensorboard.summary import hparams

        if not tensorboard_writers(trainer):
            return
        shutil.rmtree(self.directory / "event/hparams", ignore_errors=True)
        # As text, because torch writes true as 1.
        texts = {name: str(value).lower() for name, value in self.hyper_parameters.items() if isinstance(value, bool)}
        # Not the first summary: TensorBoard would show the columns of one run for all.
        _, start, end = hparams({**self.hyper_parameters, **texts}, {})
        with SummaryWriter(str(self.directory / "event/hparams")) as writer:
            writer.file_writer.add_summary(start)
            if metrics is not None:
                for name, value in metrics.items():
                    writer.add_scalar(name, value, trainer.global_step)
                writer.file_writer.add_summary(end)
