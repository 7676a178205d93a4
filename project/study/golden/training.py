"""The first steps of a training, on the CPU in one thread and without a run directory."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from project.core.cli.arguments import Arguments
from project.core.cli.building import build_training_set
from project.core.cli.stages import StageCLI
from project.core.config.configuration import build_config
from project.core.config.settings import Settings
from project.core.config.yaml_files import Tree, merge_all
from project.core.distributed.signals import Interruption
from project.core.run.run import Run
from project.core.training.lightning_internals.access import end_training

STEPS = 20
# Merged over the yaml, before its callbacks and loggers are built. A batch is validated, for callbacks and schedules
# that need its values. The length of the run stays: schedules depend on it.
_SETTINGS: Tree = {
    "log_level": "ERROR",
    "evaluation": {"every_n_epochs": 0, "at_start": False},
    "trainer": {
        "accelerator": "cpu",
        "strategy": "auto",
        "devices": 1,
        "num_nodes": 1,
        "logger": False,
        "profiler": None,
        "fast_dev_run": False,
        "max_time": None,
        "limit_val_batches": 1,
        "num_sanity_val_steps": 0,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    },
}


def train_losses(tree: Tree) -> list[float]:
    """Return the losses of the first steps of a configuration: in each, the sum of those that gradients are taken of.

    Args:
        tree: the merged yaml files and options.

    Raises:
        ConfigError: they are not valid.
    """
    losses = LossRecorder()
    with ExitStack() as stack:
        stack.enter_context(one_thread())
        root = stack.enter_context(tempfile.TemporaryDirectory(prefix="golden."))
        FirstStepsCLI(merge_all([tree, _SETTINGS, {"root": root}]), losses, stack).run()
    return losses.values


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread in the `with` block: with more, sums have another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class LossRecorder(Callback):
    """Callback that adds up the losses of each optimizer step; those of accumulated batches are divided already."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._sum = 0.0
        self._step = 0

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        self._sum += loss.item()

    def after_batch(self, trainer: pl.Trainer) -> None:
        """Take the loss of a step if the optimizer stepped; end the training after the last one."""
        if trainer.global_step != self._step:
            self._step = trainer.global_step
            self.values.append(self._sum)
            self._sum = 0.0
        if len(self.values) == STEPS:
            end_training()


class FirstStepsRun(Run):
    """Run that records nothing but its losses.

    Args:
        losses: records them, and ends the training.
        arguments: those of Run.
    """

    def __init__(self, losses: LossRecorder, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.losses = losses

    def after_batch(self, trainer: pl.Trainer, validates: bool) -> None:
        self.losses.after_batch(trainer)

    def train_first_steps(
        self, trainer: pl.Trainer, model: pl.LightningModule, datamodule: pl.LightningDataModule
    ) -> None:
        """Train until the recorder ends the training, or it ends itself."""
        self._load_first_weights(model)
        trainer.fit(model, datamodule)


class FirstStepsCLI(StageCLI):
    """StageCLI that trains with all that changes weights, callbacks of the yaml as well, and writes no files.

    Args:
        tree: the merged yaml files and options.
        losses: records the losses, and ends the training.
        stack: restores the log.
    """

    def __init__(self, tree: Tree, losses: LossRecorder, stack: ExitStack) -> None:
        self.losses = losses
        super().__init__(Arguments("fit"), build_config(tree, build_training_set), None, Interruption(), stack)

    def build_run(self, settings: Settings, arguments: dict[str, Any]) -> tuple[list[Callback], list[Callback]]:
        """Build a run whose only callbacks are those that change the training."""
        run = FirstStepsRun(self.losses, self.start, settings, self.config_yaml, "", {}, self.interruption)
        self.training_run = self.first_steps_run = run
        return [run.fitting, self.losses], []

    def run(self) -> None:
        """Train the first steps."""
        self.first_steps_run.train_first_steps(self.trainer, self.model, self.datamodule)
