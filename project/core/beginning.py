"""How a training begins: anew, with the weights of another, or where a run stands."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import (
    BaseFinetuning,
    Callback,
    GradientAccumulationScheduler,
    LambdaCallback,
    StochasticWeightAveraging,
)

from project.core.arguments import Arguments
from project.core.checkpoint import file_of_step, load_weights
from project.core.datamodule import DataModule
from project.core.errors import ConfigError
from project.core.records import rounding
from project.core.resume import Origin, load_matching
from project.core.run_folder import RunFolder
from project.core.whole_files import WholeFiles

_DO_NOT_RESUME = (BaseFinetuning, GradientAccumulationScheduler, StochasticWeightAveraging)


class Beginning:
    """What of the run's folder and of the weights is settled before the first step.

    Args:
        folder: the run's folder.
        config: the whole configuration as yaml.
        replace: whether a run of this name may be moved away.
        arguments: what was typed.
        origin: the checkpoint that the run goes on from.
    """

    def __init__(
        self, folder: RunFolder, config: str, replace: bool, arguments: Arguments, origin: Origin | None
    ) -> None:
        self.folder, self.config, self.replace, self.origin = folder, config, replace, origin
        self.finetuned = None if origin else arguments.options.get("finetune")
        self.step = int(origin.checkpoint["global_step"]) if origin else 0

    @property
    def path(self) -> Path | None:
        """The checkpoint that Lightning restores."""
        return self.origin.path if self.origin else None

    @property
    def goes_on(self) -> bool:
        """Whether the run that is resumed lies in this very folder; else it is a branch."""
        return self.origin is not None and self.origin.run == self.folder.path

    def check(self, tries: bool) -> None:
        """Refuses what would lose a run, before anything is built.

        Args:
            tries: whether `trainer.fast_dev_run` only tries the code.

        Raises:
            ConfigError: the folder holds a run, or is that of the weights.
        """
        if tries:
            if self.origin is not None:
                raise ConfigError("--resume goes on with a run; trainer.fast_dev_run only tries the code")
            return
        weights = Path(self.finetuned or "/").absolute()
        if self.folder.path in (weights, *weights.parents):
            raise ConfigError(f"--finetune begins another run than {self.folder.path}: take another --name")
        if not self.goes_on:
            self.folder.refuse_if_taken(self.replace)

    def enter(self, model: pl.LightningModule, datamodule: pl.LightningDataModule, trainer: pl.Trainer) -> None:
        """Takes the folder.

        Raises:
            ConfigError: the checkpoint is of another net, or another process trains in the folder.
        """
        if self.origin is not None:
            load_weights(model, self.origin.checkpoint, self.origin.path)
            epoch, before = self.origin.checkpoint["epoch"], self.origin.checkpoint.get("rounding", {})
            logger.info(f"goes on behind step {self.step}, in epoch {epoch}: {self.origin.path}")
            for what, now in rounding().items():
                if before.get(what, now) != now:
                    logger.warning(f"the run had {before[what]} {what} and has {now}: its sums are rounded otherwise")
            self.origin.checkpoint = {}  # Lightning gets it from `files`, and lets it go
            _say_what_is_not_exact(datamodule, trainer)
        if self.goes_on:
            self.folder.enter()
            return
        source = {"--resume": self.path, "--finetune": self.finetuned}
        options = [(option, str(Path(path).absolute())) for option, path in source.items() if path]
        self.folder.claim(self.config, self.replace, options[0] if options else ())

    def load(self, model: pl.LightningModule) -> None:
        """Loads the weights of another run, where that is asked for."""
        if self.finetuned is not None:
            load_matching(model, Path(self.finetuned))

    def files(self) -> WholeFiles:
        """Reads and writes checkpoints; what was read already is not read again."""
        return WholeFiles({self.origin.path: self.origin.checkpoint} if self.origin else {})

    def callbacks(self) -> list[Callback]:
        """Changes the folder of a resumed run, when nothing but the training is left to fail."""
        if self.origin is None:
            return []
        path, name = self.origin.path, file_of_step(self.origin.checkpoint["epoch"], self.step)
        event_sizes = self.origin.checkpoint.get("event_sizes", {})

        def begin(*_: Any) -> None:
            if self.goes_on:
                self.folder.go_on(self.config, path, name, self.step, event_sizes)
            else:
                self.folder.branch(path, name)

        return [LambdaCallback(on_train_start=begin)]


def _say_what_is_not_exact(datamodule: pl.LightningDataModule, trainer: pl.Trainer) -> None:
    if not isinstance(datamodule, DataModule):
        name = type(datamodule).__name__
        logger.warning(f"data ({name}) is read from its start: a run resumed within an epoch is not exact")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, _DO_NOT_RESUME):
            logger.warning(f"{type(callback).__name__} cannot be resumed: the run will not end as it would have")
