"""Pictures and settings in loggers, and the end of wandb's runs: what Lightning does not do for all of them."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from torch import Tensor

from project.core.files import to_image

# The argument of a logger's constructor that names its run; without it, the tracker invents a name.
NAME_ARGUMENTS: Mapping[type[Logger], str] = {WandbLogger: "name", MLFlowLogger: "run_name"}


def log_picture(trainer: pl.Trainer, name: str, picture: Tensor) -> None:
    """Log a picture `(3, H, W)` in [0, 1] at the step of the trainer; only rank 0 logs.

    It goes to TensorBoard, MLflow, and loggers with the method `log_image` of WandbLogger.
    """
    for logger in trainer.loggers if trainer.is_global_zero else ():
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, picture, trainer.global_step)
        elif isinstance(logger, MLFlowLogger):
            key = re.sub(r"[^\w/. -]", "_", name, flags=re.ASCII)  # it refuses others
            logger.experiment.log_image(logger.run_id, to_image(picture), key=key, step=trainer.global_step)
        elif hasattr(logger, "log_image"):
            logger.log_image(name, [to_image(picture)], trainer.global_step)  # wandb stretches the values of a tensor


def log_settings(logger: Logger, config: Mapping[str, Any], is_resumed: bool) -> None:
    """Log a configuration to a tracker; the parameters of a run of MLflow cannot change."""
    if not (is_resumed and isinstance(logger, MLFlowLogger)):
        logger.log_hyperparams(dict(config))


@contextmanager
def ending_wandb_run() -> Iterator[None]:
    """End the run of wandb that starts in the `with` block.

    wandb does so when Python exits, but that is too late for the next run of the process, which it would log to this
    one, and does not happen in a process of a sweep.
    """
    before = _wandb_run()
    code = 1
    try:
        yield
        code = 0
    finally:
        run = _wandb_run()
        if run is not None and run is not before:
            run.finish(exit_code=code)


def _wandb_run() -> Any:
    return getattr(sys.modules.get("wandb"), "run", None)
