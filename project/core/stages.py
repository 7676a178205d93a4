"""LightningCLI's stages, on the run's folder."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins import TorchCheckpointIO
from lightning_fabric.utilities.exceptions import MisconfigurationException
from loguru import logger
from pytorch_lightning.callbacks import Callback, LearningRateMonitor, ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.profilers import Profiler
from pytorch_lightning.strategies import DDPStrategy

from project.core.arguments import Arguments
from project.core.beginning import Beginning
from project.core.checkpoint import load_weights
from project.core.cluster import arrange, check_batch_norm
from project.core.config import Config
from project.core.datamodule import DataModule
from project.core.errors import ConfigError, is_mistake
from project.core.interruption import Interruption
from project.core.log import logging_to, logging_to_file
from project.core.loops import replace_loops
from project.core.module import SupervisedModule
from project.core.overhead import NoEmptyHooks, NoProfiler
from project.core.periodic_evaluation import PeriodicEvaluation
from project.core.pictures import ProgressPictures
from project.core.progress_bar import Bar, EpochLines, on_terminal
from project.core.randomness import StepSeeds, seed_run
from project.core.records import Curves, Records
from project.core.results import Results
from project.core.resume import Origin
from project.core.run_folder import RunFolder
from project.core.saving import Checkpoints, monitored
from project.core.settings import Settings
from project.core.whole_files import WholeFiles

_PARTS = {"fit": "train", "validate": "val", "test": "eval", "predict": "predict"}


@dataclass
class Trained:
    """What `--ckpt_path` named.

    Args:
        checkpoint: its content.
        path: its file.
        results: the folder of the results.
    """

    checkpoint: dict[str, Any]
    path: Path
    results: Path


class Stages(LightningCLI):
    """Types and builds a checked configuration, and runs one stage of it.

    Args:
        arguments: what was typed.
        config: the configuration.
        trained: the checkpoint that validate, test and predict work on, or that fit goes on from.
        interruption: listens to signals while it trains.
        stack: what must be closed at the end, after a last message was logged.
    """

    def __init__(
        self,
        arguments: Arguments,
        config: Config,
        trained: Trained | Origin | None,
        interruption: Interruption,
        stack: ExitStack,
    ) -> None:
        self.arguments, self.given, self.interruption, self.stack = arguments, config, interruption, stack
        self.origin = trained if isinstance(trained, Origin) else None
        self.trained = trained if isinstance(trained, Trained) else None
        super().__init__(
            config.model_class,
            config.data_class,
            save_config_callback=None,
            seed_everything_default=False,
            parser_kwargs={"allow_abbrev": False, "exit_on_error": False},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The stage that runs (a parser for each would cost a tenth of a second), without the Trainer's arguments."""
        given = {"model", "datamodule", "dataloaders", "train_dataloaders", "val_dataloaders", "ckpt_path"}
        return {self.arguments.stage: given | {"weights_only", "verbose", "return_predictions"}}

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_class_arguments(Settings, instantiate=False)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        stage = self.arguments.stage
        self.config = self.given.parse(parser, {"subcommand": stage, stage: self.given.values})
        self.text = self.given.text(self._parser(stage), self.config[stage])

    def _parse_ckpt_path(self) -> None:
        """Lightning would let the checkpoint's hyper-parameters overrule the command line."""

    def _set_seed(self) -> None:
        seed = self.config[self.arguments.stage].seed
        if not 0 <= seed < 2**32:
            raise ConfigError(f"seed is {seed}; it must be at least 0 and below 2 ** 32")
        seed_run(seed)

    def before_instantiate_classes(self) -> None:
        if self.arguments.print_config:
            print(self.text, end="")
            raise SystemExit(0)
        settings = self.config[self.arguments.stage]
        self.stack.enter_context(logging_to(settings.log_level))
        self.folder = RunFolder(settings.root, settings.name)
        if self.arguments.stage == "fit":
            replace = self.arguments.replace or settings.replace
            self.beginning = Beginning(self.folder, self.text, replace, self.arguments, self.origin)
            self.beginning.check(tries=bool(settings.trainer.fast_dev_run))

    def after_instantiate_classes(self) -> None:
        if isinstance(self.datamodule, DataModule):
            self.datamodule.check(_PARTS[self.arguments.stage], self.trainer)

    def instantiate_trainer(self, **_: Any) -> pl.Trainer:
        settings = self.config_init[self.arguments.stage]
        arguments = dict(settings.trainer)
        fits = self.arguments.stage == "fit"
        arguments["logger"] = self._loggers(arguments["logger"]) if fits else False
        given = arguments["callbacks"] or []
        callbacks = [NoEmptyHooks(), StepSeeds(settings.seed), *(given if isinstance(given, list) else [given])]
        own_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
        if arguments["enable_progress_bar"] is None:
            arguments["enable_progress_bar"] = own_bar or on_terminal()
        if arguments["enable_progress_bar"] and not own_bar:
            callbacks.append(Bar())
        callbacks += self._fit_callbacks(settings, arguments) if fits else self._evaluation_callbacks(settings)
        arguments["callbacks"] = callbacks
        arrange(arguments, os.environ, fits)
        if arguments["default_root_dir"] is None:
            arguments["default_root_dir"] = str(self.folder.path)
        if isinstance(self.datamodule, DataModule):
            arguments["use_distributed_sampler"] = False  # it shares out the samples itself
        profiler = arguments["profiler"] = arguments["profiler"] or NoProfiler()
        if isinstance(profiler, Profiler) and profiler.dirpath is None:
            profiler.dirpath = self.folder.path / "profile"
        try:
            trainer = pl.Trainer(**arguments)
        except (MisconfigurationException, ValueError, TypeError) as error:
            raise ConfigError(f"trainer: {error}") from error
        check_batch_norm(trainer, arguments["sync_batchnorm"])
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = self.beginning.files() if fits else WholeFiles({})
        if isinstance(trainer.strategy, DDPStrategy):
            trainer.strategy._timeout = timedelta(seconds=settings.timeout)  # half an hour, by default
        replace_loops(trainer)
        return trainer

    def fit(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> None:
        """Trains in the run's folder; without one where `trainer.fast_dev_run` only tries the code."""
        settings = self.config_init.fit
        if settings.evaluation.active:
            self._check_evaluation(model, datamodule)
        if settings.trainer.fast_dev_run:
            logger.info("trainer.fast_dev_run: nothing is saved")
            self.beginning.load(model)
            self.trainer.fit(model, datamodule)
            return
        self.beginning.enter(model, datamodule, self.trainer)
        self.stack.callback(self.folder.release)
        self.stack.enter_context(logging_to_file(self.folder.path / "log.txt"))
        logger.info(f"the run's folder is {self.folder.path}")
        try:
            self.beginning.load(model)
            self._train(model, datamodule)
        except Exception as error:
            if is_mistake(error) and self.trainer.global_step in (0, self.beginning.step):
                self.folder.discard()
            raise

    def _train(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> None:
        try:
            self.trainer.fit(model, datamodule, ckpt_path=self.beginning.path, weights_only=True)
        finally:
            if isinstance(files := self.trainer.strategy.checkpoint_io, WholeFiles):
                files.finish()

    def validate(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> None:
        """Losses and metrics of a checkpoint on the val sets."""
        self._load(model)
        self.trainer.validate(model, datamodule, verbose=False)

    def test(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> None:
        """Losses and metrics of a checkpoint on the eval sets."""
        self._load(model)
        self.trainer.test(model, datamodule, verbose=False)

    def predict(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> None:
        """What a checkpoint's net makes of the predict sets."""
        self._load(model)
        self.trainer.predict(model, datamodule, return_predictions=False)

    def _load(self, model: pl.LightningModule) -> None:
        assert self.trained is not None
        load_weights(model, self.trained.checkpoint, self.trained.path)
        logger.info(f"weights of {self.trained.path}")

    def _check_evaluation(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> None:
        if not (isinstance(model, SupervisedModule) and isinstance(datamodule, DataModule)):
            raise ConfigError(
                "evaluation while training needs a SupervisedModule and a DataModule, or classes of these"
            )
        datamodule.check("eval", self.trainer)

    def _loggers(self, given: Any) -> list[Logger] | bool:
        """What the yaml names, and TensorBoard beside it; none for `trainer.logger: false`."""
        if given is False:
            return False
        loggers = [] if given in (None, True) else [given] if isinstance(given, Logger) else list(given)
        if not any(isinstance(logger, TensorBoardLogger) for logger in loggers):
            loggers.append(Curves(self.folder.path, name="", version="event", default_hp_metric=False))
        return loggers

    def _fit_callbacks(self, settings: Any, trainer: dict[str, Any]) -> list[Callback]:
        folder = self.folder.path
        callbacks: list[Callback] = [
            *self.beginning.callbacks(),
            Records(self.text, folder / "event"),
            EpochLines("DEBUG" if on_terminal() else "INFO"),
        ]
        if trainer["logger"]:
            callbacks.append(LearningRateMonitor(logging_interval="step"))
        if settings.visual is not None:
            local = settings.progress.local and not trainer["fast_dev_run"]
            callbacks.append(
                ProgressPictures(settings.visual, settings.progress, folder / "progress" if local else None)
            )
        if settings.evaluation.active:
            callbacks.append(
                PeriodicEvaluation(settings.evaluation, settings.seed, folder / "eval", settings.visual, self.text)
            )
        if trainer["enable_checkpointing"] is not False and not trainer["fast_dev_run"]:
            sets = self.datamodule.set_names("val") if isinstance(self.datamodule, DataModule) else None
            monitor = monitored(settings.checkpoint, settings.evaluation, sets)
            if monitor is not None and type(self.model) is SupervisedModule:
                self.model.check_logged(monitor, "checkpoint.monitor")
            callbacks.append(Checkpoints(folder / "checkpoints", settings.checkpoint, monitor, self.interruption))
        else:
            self.interruption.let_go()
        return callbacks

    def _evaluation_callbacks(self, settings: Any) -> list[Callback]:
        assert self.trained is not None
        return [Results(self.trained.results, settings.visual, self.text)]
