"""The lines of the log that describe the model."""

from collections import Counter
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import ModelSummary
from pytorch_lightning.utilities.model_summary.model_summary import get_human_readable_count
from torch import nn
from torch.nn.parameter import is_lazy

from project.core.model.freezing import Freezing
from project.core.model.optimization import ParameterGroup, match_parameters


class ModelLine(ModelSummary):
    """Callback that logs the number of parameters of a module and of its parts.

    Lightning's table does not go to log.txt, and counts operations (FLOPs) only of modules with an example input.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        parts: Any = {name: part for name, part in pl_module.named_children() if _count(part)}
        texts = [f"{name} ({type(part).__name__}) {_readable(_count(part))}" for name, part in parts.items()]
        callbacks: Any = trainer.callbacks  # type: ignore[attr-defined]
        groups = [group for each in callbacks if isinstance(each, Freezing) for group in each.groups]
        total, share = _count(pl_module), _describe_share(pl_module, groups)
        if trainer.is_global_zero:
            logger.info(f"{type(pl_module).__name__}: {_readable(total)} parameters, {share}: {', '.join(texts)}")


def _describe_share(module: pl.LightningModule, groups: list[ParameterGroup]) -> str:
    """Return how many parameters train from the start, and how many are frozen, until which epoch if it is known."""
    counts = Counter[str]()
    epochs = [0, *(group.until_epoch for group in groups)]
    for until, parameters in zip(epochs, match_parameters(module, groups), strict=True):
        for parameter in parameters:
            state = f"frozen until_epoch {until}" if until else "trained"
            counts[state if parameter.requires_grad else "frozen"] += _size(parameter)
    if counts["trained"] == counts.total():
        return "all trained"
    return ", ".join(f"{_readable(count)} {state}" for state, count in counts.items() if count)


def _count(module: nn.Module) -> int:
    return sum(map(_size, module.parameters()))


def _size(parameter: nn.Parameter) -> int:
    """Return the number of values; that of a lazy parameter is not known before the first batch."""
    return 0 if is_lazy(parameter) else parameter.numel()


def _readable(count: int) -> str:
    return get_human_readable_count(count).strip()  # it pads small numbers
