"""A stretch of a run, trained again: the stage `fit` in a directory that is removed."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, LambdaCallback
from pytorch_lightning.plugins.precision import DoublePrecision
from pytorch_lightning.utilities.model_helpers import is_overridden

from project.core.cli.arguments import Arguments
from project.core.cli.stages import StageCLI
from project.core.config.configuration import Config
from project.core.config.settings import Settings
from project.core.data.datamodule import DataModule
from project.core.data.seeding import seed_run
from project.core.distributed.signals import Interruption, restoring_signals
from project.core.evaluation.periodic import PeriodicEvaluation
from project.core.model.fitting import adopt_shapes
from project.core.model.run_length import log_interval
from project.core.run.callback_settings import CallbackSettings
from project.core.run.checkpoint_files import LoadedCheckpoint
from project.core.run.optimizer_state import OptimizerState
from project.core.run.pretrained import with_checksum
from project.core.run.run import Run
from project.core.run.run_directory import RunDirectory
from project.core.run.start import RunStart
from project.core.tensorboard import DedupTensorBoardLogger
from project.core.training.lightning_internals.names import Feature, check_available
from project.core.training.lightning_internals.step_log import LearningRates
from project.study.replay.guard import prepare_protected_worker
from project.study.replay.needs import EvaluationProbe, Needs, find_needs, is_dropped
from project.study.replay.states import ReplayPolicy, StateCapture


class _NoInterruption(Interruption):
    """Interruption that leaves the signal handlers as they are: a replay has nothing to save."""

    def install(self, with_sigint: bool = True) -> None: ...

    def uninstall(self) -> None: ...


class ReplayRun(Run):
    """Run that records nothing and saves nothing."""

    def train_again(self, trainer: pl.Trainer, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> None:
        """Train from the checkpoint, or the start, until a callback ends it."""
        checkpoint = self.start.checkpoint
        if isinstance(trainer.precision_plugin, DoublePrecision):
            model.double()  # before weights are loaded, as in `train`
        if checkpoint is not None:
            adopt_shapes(model, checkpoint.content["state_dict"])
            if model.strict_loading and not is_overridden("configure_model", model):
                checkpoint.check_weights(model)
        self._load_first_weights(model)
        path = checkpoint.path if checkpoint else None
        with restoring_signals():  # at Ctrl-C, Lightning ignores further ones from then on, and exits
            try:
                trainer.fit(model, datamodule, ckpt_path=path, weights_only=True)
            except SystemExit as error:
                if isinstance(error.__context__, KeyboardInterrupt):
                    raise KeyboardInterrupt from error
                raise


class ReplayCLI(StageCLI):
    """StageCLI that trains steps of a run again.

    Args:
        config: the configuration; its root is a directory that is removed.
        text: the configuration of the run as yaml.
        checkpoint: state to start from; None starts a new run.
        finetune: the values of `--finetune` of a new run.
        last: the last step.
        states: steps after which the state is captured.
        resumes: steps after which the run itself was resumed.
        watchers: callbacks that are called before those of the yaml; those with a method `after_batch(trainer)` are
            also called after each training batch.
        validates: whether validations are repeated even if nothing is known to need them.
        stack: removes what the replay needs.
    """

    def __init__(
        self,
        config: Config,
        text: str,
        checkpoint: LoadedCheckpoint | None,
        finetune: Mapping[str, Any] | None,
        last: int,
        states: Collection[int],
        resumes: Collection[int],
        watchers: Sequence[Callback],
        validates: bool,
        stack: ExitStack,
    ) -> None:
        self.text, self.last, self.states, self.resumes = text, last, states, resumes
        self.watchers, self.validates = watchers, validates
        arguments = Arguments("fit", finetune=dict(finetune or {}))
        super().__init__(arguments, config, checkpoint, _NoInterruption(), stack)

    def _prepare(self) -> None:
        config = self.config
        seed_run(config.seed)
        self.directory = RunDirectory(config.root, config.name)
        self.start = RunStart(self.directory, checkpoint=self.checkpoint, finetune=self._finetune())
        if self.start.finetune is not None:
            self.start.finetune = with_checksum(self.start.finetune, "--finetune")

    def instantiate_trainer(self, **arguments: object) -> pl.Trainer:
        if isinstance(self.datamodule, DataModule):
            self.datamodule.prepare_worker = prepare_protected_worker
        trainer = super().instantiate_trainer(**arguments)
        check_available(Feature.REPLAYS, Feature.EXACT_LOOPS)
        writer = self.training_run.writer
        trainer.strategy.checkpoint_io = writer
        vars(trainer.strategy)["save_checkpoint"] = writer.save_checkpoint  # on every rank
        return trainer

    def build_run(self, settings: Settings, arguments: dict[str, Any]) -> tuple[list[Callback], list[Callback]]:
        """Build a run whose only effects are those on the trained state, and the curves."""
        given = arguments["callbacks"] or []
        given = [each for each in (given if isinstance(given, list) else [given]) if not is_dropped(each)]
        self.needs = find_needs(given, self.model, self.datamodule, self.checked_config.tree)
        if self.validates:
            self.needs = Needs(True, True)
        arguments |= {"callbacks": given, "enable_checkpointing": None}
        if not self.needs.validation:
            arguments |= {"limit_val_batches": 0, "num_sanity_val_steps": 0}
        run = self.training_run = self.replay_run = ReplayRun(
            self.start, settings, self.config_yaml, "", {}, self.interruption
        )
        run.writer = StateCapture(self.checkpoint)
        run.policy = self.policy = ReplayPolicy(
            settings, self.interruption, self.text, self.last, self.states, self.resumes, self._after_batch
        )
        probe = [] if self.needs.validation else [EvaluationProbe()]
        return [run.fitting, *probe, *self.watchers], self._last_callbacks(settings, arguments)

    def _last_callbacks(self, settings: Settings, arguments: dict[str, Any]) -> list[Callback]:
        interval = LambdaCallback(
            on_train_start=lambda trainer, _: setattr(trainer, "log_every_n_steps", log_interval(trainer))
        )
        changed = self.start.changed_settings(self.config_yaml)
        callbacks: list[Callback] = [interval, OptimizerState(changed), CallbackSettings(), self.policy]
        if arguments["logger"] is not False:
            logger = DedupTensorBoardLogger(self.directory.path)
            logger.last_points = dict(self.checkpoint.header.points) if self.checkpoint else {}
            arguments["logger"] = logger
            callbacks.append(LearningRates())
        if settings.evaluation.is_active and self.needs.evaluation:
            self._check_evaluation_classes()
            directory, nothing = self.directory.path / "eval", self.replay_run.before_evaluation_batch
            callbacks.append(
                PeriodicEvaluation(settings.evaluation, settings.seed, directory, {}, self.config_yaml, nothing)
            )
        return callbacks

    def run(self) -> None:
        """Train until the last step."""
        self.replay_run.train_again(self.trainer, self.model, self.datamodule)

    @property
    def reached(self) -> int:
        """The number of optimizer steps done."""
        return int(self.trainer.global_step)

    def _check_data(self) -> None:
        if self.needs.validation or self.needs.evaluation:
            super()._check_data()

    def _after_batch(self, trainer: pl.Trainer) -> None:
        for watcher in self.watchers:
            if after_batch := getattr(watcher, "after_batch", None):
                after_batch(trainer)
