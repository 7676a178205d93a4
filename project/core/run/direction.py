"""Whether a lower or a higher value of a loss or metric is better, for the settings that select the best one."""

from typing import Any

import pytorch_lightning as pl

from project.core.data.datamodule import DataModule
from project.core.errors import ConfigError
from project.core.model.module import SupervisedModule

_WORDS = {"min": "lower", "max": "higher"}


def check_mode(setting: str, mode: Any, name: str, trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Check that the mode of a monitored name does not select the worst value.

    Args:
        setting: setting that contains the mode, such as `checkpoint.mode`.
        mode: the mode; others than min and max are not checked.
        name: the monitored name, such as `val/accuracy`.
        trainer: trainer of the run.
        module: module that logs the name.

    Raises:
        ConfigError: the mode is max for a loss, or not that of a metric's `higher_is_better`.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if isinstance(module, SupervisedModule) and isinstance(data, DataModule):
        better = better_mode(name, [each for names in data.splits.values() for each in names], module)
        if mode in _WORDS and better not in (None, mode):
            raise ConfigError(f"{setting} is {mode}, but a {_WORDS[better]} {name} is better; set it to {better}")


def better_mode(name: str, datasets: list[str], module: SupervisedModule) -> str | None:
    """Return `min` for a loss, the mode of a metric that has `higher_is_better`, and None for others.

    Args:
        name: the monitored name: SPLIT/VALUE or SPLIT/DATASET/VALUE, or for one of several values of a metric, both
            followed by its name.
        datasets: names of datasets.
        module: module that logs the name.
    """
    _, *parts = name.split("/")
    value = parts[parts[0] in datasets] if len(parts) > 1 else parts[0] if parts else ""
    if value in module.loss_terms or value == "sum":
        return "min"
    term = module.metric_terms.get(value)
    higher = getattr(term.component, "higher_is_better", None) if term else None
    return None if higher is None else "max" if higher else "min"
