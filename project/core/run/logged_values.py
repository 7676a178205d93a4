"""Which values a run logs, by the split in their names (train, val, eval), and after which step first."""

import math

import pytorch_lightning as pl

from project.core.config.settings import EvaluationSettings
from project.core.data.datamodule import DataModule
from project.core.model.module import SupervisedModule
from project.core.model.run_length import EpochSteps, log_interval


def declared_names(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, list[str]]:
    """Return the names that a SupervisedModule logs by split; empty for other modules and data modules.

    A loss or metric with several values adds their names, such as val/f1/3 for val/f1.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not (isinstance(module, SupervisedModule) and isinstance(data, DataModule)):
        return {}
    prefixes = {"train": ["train"]}
    for split in ("val", "eval"):
        prefixes[split] = ["/".join(filter(None, (split, name))) for name in data.dataset_names(split) or [""]]
    values = module.value_names()
    return {split: [f"{start}/{value}" for start in starts for value in values] for split, starts in prefixes.items()}


def why_never_logged(split: str, trainer: pl.Trainer, evaluation: EvaluationSettings) -> str | None:
    """Return why a run logs no value of a split; None if it does, as far as the settings tell, or trains nothing."""
    data: object = trainer.datamodule  # type: ignore[attr-defined]
    epochs, every = _max_epochs(trainer), trainer.check_val_every_n_epoch
    if split == "train" and trainer.log_every_n_steps == 0 and not _logs_training_epochs(trainer):  # type: ignore[attr-defined]
        return "trainer.log_every_n_steps is 0"
    if split == "val":
        if isinstance(data, DataModule) and not data.dataset_names("val"):
            return "data.val is null"
        if trainer.limit_val_batches == 0:
            return "trainer.limit_val_batches is 0"
        if every is not None and every > epochs > 0:
            return f"trainer.check_val_every_n_epoch is {every}, and trainer.max_epochs is {epochs}"
    if split == "eval":
        if not evaluation.every_n_epochs:
            return "evaluation.every_n_epochs is 0"
        if evaluation.every_n_epochs > epochs > 0:
            return f"evaluation.every_n_epochs is {evaluation.every_n_epochs}, and trainer.max_epochs is {epochs}"
    return None


class Timeline:
    """Optimizer steps of a run at which epochs, validations and evaluations end, known when the data are loaded.

    Args:
        trainer: a trainer that has counted its batches.
        evaluation: settings of the evaluation during training.
    """

    def __init__(self, trainer: pl.Trainer, evaluation: EvaluationSettings) -> None:
        self.is_known = trainer.num_training_batches != math.inf and not trainer.fast_dev_run  # type: ignore[attr-defined]
        if not self.is_known:
            return
        self.steps = EpochSteps(trainer)
        limit = math.inf if trainer.max_steps == -1 else trainer.max_steps
        self.last = min(self.steps.before(_max_epochs(trainer)), limit)
        self.first_validation = self._first_validation(trainer)
        over_epoch = _logs_training_epochs(trainer)
        self.first_logged = {
            "train": min(self.steps.before(1), self.last) if over_epoch else log_interval(trainer) or math.inf,
            "val": self.first_validation,
            "eval": self.steps.before(evaluation.every_n_epochs) or math.inf,
        }

    def _first_validation(self, trainer: pl.Trainer) -> float:
        """Return the step after which the first validation follows; 0 if it depends on time."""
        interval, every, batches = trainer.val_check_batch, trainer.check_val_every_n_epoch, self.steps.batches
        if not trainer.enable_validation:
            return math.inf
        if interval is None:
            return 0
        epoch, batch = divmod(interval, batches) if every is None else (every - 1, min(interval, batches))
        return self.steps.before(epoch, batch)


def _logs_training_epochs(trainer: pl.Trainer) -> bool:
    """Return whether `train/` values are those of whole epochs."""
    module = trainer.lightning_module
    return isinstance(module, SupervisedModule) and module.training_log.is_over_epoch


def _max_epochs(trainer: pl.Trainer) -> float:
    return math.inf if trainer.max_epochs in (None, -1) else trainer.max_epochs
