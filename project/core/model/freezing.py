"""Parameters that train from an epoch on, and running statistics that do not change (`model.groups`)."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy
from torch import nn

from project.core.errors import ConfigError
from project.core.model.optimization import ParameterGroup, match_parameters


def freeze(module: nn.Module, groups: list[ParameterGroup]) -> None:
    """Set `requires_grad` to false for the parameters of groups with `freeze: true`.

    Raises:
        ConfigError: a pattern matches no parameter that is not in an earlier group, or no running statistics.
    """
    for group, parameters in zip(groups, match_parameters(module, groups)[1:], strict=True):
        for parameter in parameters if group.freeze is True else ():
            parameter.requires_grad_(False)
    found = [group for _, group in _match_statistics(module, groups)]
    for group in groups:
        if group.freeze_statistics and group not in found:
            raise ConfigError(
                f"model.groups: '{group.match}' has freeze_statistics, but no module that it matches has running "
                "statistics, as a batch norm has"
            )


class Freezing(Callback):
    """Callback that freezes what groups with `freeze: {until_epoch: N}` or `freeze_statistics` match.

    What is frozen follows from the epoch alone, so that a resumed run is exact. Optimizer and schedule contain the
    parameters from the start; without a gradient, the optimizer changes neither them nor their state.

    Args:
        groups: the groups of parameters.
    """

    def __init__(self, groups: list[ParameterGroup]) -> None:
        self.groups = groups
        self._parameters: list[tuple[nn.Parameter, ParameterGroup]] = []
        self._statistics: list[tuple[nn.Module, ParameterGroup]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        matched = zip(self.groups, match_parameters(pl_module, self.groups)[1:], strict=True)
        self._parameters = [
            (parameter, group)
            for group, parameters in matched
            for parameter in parameters
            if group.until_epoch and parameter.requires_grad
        ]
        self._statistics = list(_match_statistics(pl_module, self.groups))
        self._apply(trainer)
        for group in self.groups:
            if trainer.is_global_zero and 0 <= (trainer.max_epochs or -1) <= group.until_epoch:
                logger.warning(
                    f"model.groups: '{group.match}' never trains: it is frozen for {group.until_epoch} epochs, "
                    f"and the run has {trainer.max_epochs}"
                )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._apply(trainer)
        if trainer.is_global_zero:
            self._log_thawed(trainer.current_epoch)

    def _log_thawed(self, epoch: int) -> None:
        """Log which groups train from an epoch on."""
        for group in self.groups:
            count = sum(parameter.numel() for parameter, owner in self._parameters if owner is group)
            if count and epoch == group.until_epoch:
                logger.info(f"model.groups: '{group.match}' trains from epoch {epoch + 1} on ({count:,} parameters)")

    def _apply(self, trainer: pl.Trainer) -> None:
        """Freeze and unfreeze for the current epoch."""
        epoch, is_changed = trainer.current_epoch, False
        for parameter, group in self._parameters:
            is_changed |= parameter.requires_grad == (epoch < group.until_epoch)
            parameter.requires_grad_(epoch >= group.until_epoch)
        for owner, group in self._statistics:
            owner.train(0 < group.until_epoch <= epoch)
        strategy = trainer.strategy
        if is_changed and isinstance(strategy, DDPStrategy):
            # DDP synchronizes the gradients of the parameters that were not frozen when it was built.
            strategy.model = strategy.lightning_module
            strategy.configure_ddp()


def _match_statistics(module: nn.Module, groups: list[ParameterGroup]) -> Iterator[tuple[nn.Module, ParameterGroup]]:
    """Yield the modules with running statistics that groups with `freeze_statistics` match first."""
    for name, owner in module.named_modules():
        if getattr(owner, "running_mean", None) is None:
            continue
        group = next((group for group in groups if fnmatchcase(f"{name}.running_mean", group.match)), None)
        if group is not None and group.freeze_statistics:
            yield owner, group
