"""The lines of the log that describe the model."""

from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import ModelSummary
from pytorch_lightning.utilities.model_summary.model_summary import get_human_readable_count as readable
from torch.nn.parameter import is_lazy


class ModelLine(ModelSummary):
    """Callback that logs the number of parameters of a module and of its parts.

    Lightning's table does not go to log.txt, and counts operations (FLOPs) only of modules with an example input.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        parts: Any = {name: part for name, part in pl_module.named_children() if _count(part)}
        texts = [f"{name} ({type(part).__name__}) {readable(_count(part))}" for name, part in parts.items()]
        total, trained = _count(pl_module), _count(pl_module, trained_only=True)
        share = "all trained" if trained == total else f"{readable(trained)} trained"
        if trainer.is_global_zero:
            logger.info(f"{type(pl_module).__name__}: {readable(total)} parameters, {share}: {', '.join(texts)}")


def _count(module: Any, trained_only: bool = False) -> int:
    """Return the number of parameters; those of lazy modules are not known before the first batch."""
    parameters = [parameter for parameter in module.parameters() if not is_lazy(parameter)]
    return sum(parameter.numel() for parameter in parameters if parameter.requires_grad or not trained_only)
