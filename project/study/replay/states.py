"""States of a replayed training: what takes the place of checkpoints, of which none is written."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from project.core.config.settings import Settings
from project.core.distributed.signals import Interruption
from project.core.model.module import SupervisedModule
from project.core.run.checkpoint_files import LoadedCheckpoint
from project.core.run.checkpoint_header import CheckpointHeader, numeric_environment
from project.core.run.checkpoint_policy import CheckpointPolicy
from project.core.run.checkpoint_writer import CheckpointWriter, snapshot_to_cpu
from project.core.tensorboard import find_dedup_logger
from project.core.training.lightning_internals.access import end_on_sigterm, end_training, names_over_epoch
from project.core.training.stopping import STOPS


class StateCapture(CheckpointWriter):
    """Checkpoint plugin that keeps what would be written, and removes nothing.

    Args:
        loaded: the checkpoint that the replay starts from.
    """

    def __init__(self, loaded: LoadedCheckpoint | None) -> None:
        super().__init__(loaded)
        self.captured: dict[str, Any] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None) -> None:
        self.captured, _ = snapshot_to_cpu(checkpoint, {})

    def remove_checkpoint(self, path: str | Path) -> None: ...


class ReplayPolicy(CheckpointPolicy):
    """CheckpointPolicy that restores what the run's had decided, writes nothing, and ends the replay after a step.

    Args:
        settings: settings of the run.
        interruption: receives no signals: a replay has nothing to save.
        config: the configuration of the run as yaml, which the captured states contain.
        last: the last optimizer step.
        steps: steps after which the state is captured.
        resumes: steps after which the run itself was resumed.
        after_batch: called after each training batch with the trainer.
    """

    def __init__(
        self,
        settings: Settings,
        interruption: Interruption,
        config: str,
        last: int,
        steps: Collection[int],
        resumes: Collection[int],
        after_batch: Callable[[pl.Trainer], None],
    ) -> None:
        super().__init__(Path(), settings, None, interruption)
        self.config, self.last, self.steps, self.on_batch = config, last, steps, after_batch
        self.states: dict[int, dict[str, Any]] = {}  # by step
        self.resumes, self.incomparable = {*resumes}, set[tuple[str, int]]()
        self._epoch_start: int | None = None  # None if the replay starts within the epoch

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        end_on_sigterm(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._step = trainer.global_step
        if self._restored:
            self._restore_values(trainer)
            trainer.should_stop = trainer.should_stop or self._restored.get(STOPS, False)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        self._epoch_start = trainer.global_step

    def after_batch(self, trainer: pl.Trainer, validates: bool) -> None:
        """Capture the state if it is wanted; end the training after the last step."""
        before, self._step = self._step, trainer.global_step
        self.on_batch(trainer)
        passed = range(before + 1, trainer.global_step + 1)
        wanted = [step for step in passed if step in self.steps]
        if wanted:
            self.states |= dict.fromkeys(wanted, self._capture(trainer))
        if passed and trainer.global_step >= self.last:
            end_training()

    def _capture(self, trainer: pl.Trainer) -> dict[str, Any]:
        content, logger = capture_state(trainer), find_dedup_logger(trainer)
        points = dict(logger.last_points) if logger else {}
        if content:  # of rank 0
            header = CheckpointHeader(self.config, True, environment=numeric_environment(), points=points)
            header.add_to(content)
        return content

    def raise_if_interrupted(self, trainer: pl.Trainer) -> None: ...

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None: ...

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note which values over the epoch lack batches, here or in the run: Lightning forgets those at a resume."""
        start, step = self._epoch_start, trainer.global_step
        if start is None or any(start < resume < step for resume in self.resumes):
            own = pl_module.value_names() if isinstance(pl_module, SupervisedModule) else []
            kept = {f"train/{name}" for name in own}  # in checkpoints
            self.incomparable |= {(name, step) for name in names_over_epoch(trainer) - kept}

    def on_exception(self, *_: object) -> None: ...

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None: ...


def capture_state(trainer: pl.Trainer) -> dict[str, Any]:
    """Return a copy of the state of a replay after a batch, in the form of a checkpoint without header."""
    capture = trainer.strategy.checkpoint_io
    assert isinstance(capture, StateCapture)
    trainer.save_checkpoint("captured.ckpt", weights_only=False)
    content, capture.captured = capture.captured, {}
    return content
