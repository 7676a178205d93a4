"""A training run: what its parts share, and the training itself."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins import TorchCheckpointIO
from loguru import logger
from pytorch_lightning.callbacks import Callback, LambdaCallback
from pytorch_lightning.plugins.precision import DoublePrecision
from pytorch_lightning.utilities.model_helpers import is_overridden

from project.core.config.pretrained import Pretrained
from project.core.config.settings import Settings
from project.core.config.yaml_files import parse_yaml
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError, is_user_error
from project.core.log import logging_to_file
from project.core.model.fitting import FitToTrainingSet, adopt_shapes
from project.core.run.callback_settings import CallbackSettings
from project.core.run.checkpoint_policy import CheckpointPolicy
from project.core.run.checkpoint_writer import CheckpointWriter
from project.core.run.loggers import check_loggers, record_settings
from project.core.run.optimizer_state import OptimizerState
from project.core.run.pretrained import load_pretrained
from project.core.run.pruning import Pruning, PruningCheck
from project.core.run.recorded_inputs import InputRecorder, NetInputs
from project.core.run.recorder import ConfigRecorder
from project.core.run.run_directory import LOG
from project.core.run.start import RunStart
from project.core.run.state_chain import StateChain
from project.core.run.summary import RunSummary
from project.core.trackers import ending_wandb_run
from project.core.training.lightning_internals import replace_loops
from project.core.training.lightning_internals.access import end_on_sigterm
from project.core.training.lightning_internals.names import Feature, is_available

_LOAD_ERROR = "Error(s) in loading state_dict for {}:"  # matched: the message of torch


class Run:
    """A training run: its start, settings and configuration, checkpoint policy, writer and interruption.

    Args:
        start: how the run starts, and its directory.
        settings: settings of the run.
        config: the whole configuration as yaml.
        given: what yaml files and options contained, as yaml.
        hyper_parameters: the settings that TensorBoard shows as hyper-parameters.
        interruption: receives the signals that ask the run to stop.
        pruning: decides after each validation whether the training ends; None lets it end by itself.
        needs_trust: whether other stages load its checkpoints only with `--trust`.

    Example::

        run = Run(start, settings, config, given, hyper_parameters, Interruption())
        trainer = pl.Trainer(callbacks=run.callbacks(saves=True, monitor="val/sum"))
        run.attach(trainer)
        with ExitStack() as stack:
            run.train(trainer, model, datamodule, stack)
    """

    def __init__(
        self,
        start: RunStart,
        settings: Settings,
        config: str,
        given: str,
        hyper_parameters: Mapping[str, Any],
        interruption: Interruption,
        pruning: Pruning | None = None,
        needs_trust: bool = False,
    ) -> None:
        self.start, self.settings, self.config, self.interruption = start, settings, config, interruption
        self.given, self.hyper_parameters, self.pruning = given, hyper_parameters, pruning
        self.needs_trust = needs_trust
        self.directory = start.directory
        self.writer = CheckpointWriter(start.checkpoint)
        self.fitting = FitToTrainingSet(settings.seed, interruption, start.checkpoint is not None)
        self.policy: CheckpointPolicy | None = None  # None if no checkpoints are saved

    def callbacks(self, saves: bool, monitor: str | None) -> list[Callback]:
        """Return the callbacks that record the run and save its checkpoints.

        Args:
            saves: whether checkpoints are saved.
            monitor: logged value that selects the best checkpoint.

        Raises:
            ConfigError: the training may be pruned, but no value is monitored.
        """
        if self.pruning is not None and not self.start.is_fast_dev_run and not (saves and monitor):
            raise ConfigError(
                "a pruner needs a monitored value and checkpoints: set checkpoint.monitor to a logged value, such as "
                "val/sum, and remove trainer.enable_checkpointing: false"
            )
        checkpoint = self.start.checkpoint
        inputs = InputRecorder(NetInputs(checkpoint.inputs, checkpoint.classes) if checkpoint else NetInputs({}, {}))
        recorder = ConfigRecorder(
            self.config, self.hyper_parameters, self.directory.path, self._is_saving_resumable, self._best_value, inputs
        )
        prepare = LambdaCallback(on_train_start=lambda trainer, _: self._prepare(trainer))
        changes = self.start.changed_settings(self.config)
        optimizers = OptimizerState(changes)
        check: PruningCheck | None = None
        callbacks = [prepare, recorder, optimizers, CallbackSettings()]
        if saves:
            callbacks.append(inputs)
            checkpoints = self.directory.path / "checkpoints"
            self.policy = CheckpointPolicy(checkpoints, self.settings, monitor, self.interruption)
            self.policy.chain = StateChain(self.directory.path)
            self.policy.restores_stop = not any(path.startswith("trainer.callbacks") for path in changes)
            callbacks.append(self.policy)
            check = PruningCheck(self.pruning, self.policy)
            callbacks.append(check)
        else:
            self.interruption.uninstall()
        self.summary = RunSummary(self.directory.path, self.policy, check, self.needs_trust)
        return callbacks if self.start.is_fast_dev_run else [*callbacks, self.summary]

    def attach(self, trainer: pl.Trainer) -> None:
        """Have a trainer write checkpoints with the run's writer, and call `after_batch`.

        Raises:
            ConfigError: a logger would continue the file of another run.
        """
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = self.writer
            if self.policy is not None:
                self.policy.writer = self.writer
        if not self.start.resumes_in_place:
            check_loggers(trainer, self.directory.path)
        if self.policy is None:
            end_on_sigterm(trainer)
        replace_loops(trainer, self.after_batch, self.settings.skip_steps or ())
        if self.policy is not None and not is_available(Feature.EXACT_LOOPS):
            self.policy.save_in_hook()

    def after_batch(self, trainer: pl.Trainer, validates: bool) -> None:
        """Save a checkpoint if one is due; stop the run if a signal asked for it."""
        if self.policy is not None:
            self.policy.after_batch(trainer, validates)

    def before_evaluation_batch(self, trainer: pl.Trainer) -> None:
        """Stop the run if a signal asked for it and the last step is in a checkpoint."""
        if self.policy is not None:
            self.policy.raise_if_interrupted(trainer)

    def train(
        self, trainer: pl.Trainer, model: pl.LightningModule, datamodule: pl.LightningDataModule, stack: ExitStack
    ) -> None:
        """Train in the run directory; without one if the trainer only tries the code.

        Args:
            trainer: a trainer with the run's callbacks, attached to the run.
            model: the module.
            datamodule: the data module.
            stack: closes log.txt and unlocks the directory, after the caller has logged the last message.

        Raises:
            ConfigError: another process trains in the directory, or the weights do not fit the model.
        """
        if self.start.is_fast_dev_run:
            logger.info("trainer.fast_dev_run: nothing is saved")
            self._load_first_weights(model)
            trainer.fit(model, datamodule)
            return
        checkpoint = self.start.checkpoint
        if isinstance(trainer.precision_plugin, DoublePrecision):
            model.double()  # Lightning does so after callbacks have copied the module, and weights were loaded into it
        # Before anything is written, except for modules whose weights Lightning builds or loads in another way.
        if checkpoint is not None:
            adopt_shapes(model, checkpoint.content["state_dict"])
            if model.strict_loading and not is_overridden("configure_model", model):
                checkpoint.check_weights(model)
        self.start.acquire_directory(self.config, self.given)
        stack.callback(self.directory.release)
        stack.enter_context(logging_to_file(self.directory.path / LOG))
        logger.info(f"the run directory is {self.directory.path}")
        with self._undoing_after_mistakes(trainer), ending_wandb_run(), self.summary.recording_end(trainer):
            self.start.log_resume(trainer, datamodule)
            self._load_first_weights(model)
            try:
                path = checkpoint.path if checkpoint else None
                trainer.fit(model, datamodule, ckpt_path=path, weights_only=True)
            except RuntimeError as error:
                if checkpoint is not None and str(error).startswith(_LOAD_ERROR.format(type(model).__name__)):
                    raise checkpoint.mismatch(error) from error
                raise
            finally:
                self.writer.finish()

    def _prepare(self, trainer: pl.Trainer) -> None:
        if self.start.resumes_in_place:
            self.summary.reopen(trainer)
        self.start.prepare_directory(self.config, trainer)
        config = parse_yaml(self.config, "the config")
        record_settings(trainer, self.directory.path, config, self.start.logger_states)

    def _load_first_weights(self, model: pl.LightningModule) -> None:
        """Load the weights that a new run starts with; a checkpoint has those of a resumed run."""
        sources = {"model.pretrained": getattr(model, "pretrained", None), "--finetune": self.start.finetune}
        for where, settings in sources.items():
            if isinstance(settings, Pretrained) and self.start.checkpoint is None:
                self.fitting.loaded |= load_pretrained(model, settings, where)

    @contextmanager
    def _undoing_after_mistakes(self, trainer: pl.Trainer) -> Iterator[None]:
        """Remove a created directory if a mistake of the user ends the run before its first step."""
        try:
            yield
        except Exception as error:
            if is_user_error(error) and trainer.global_step in (0, self.start.first_step):
                self.directory.undo_create()
            raise

    def _best_value(self) -> dict[str, float]:
        best = self.policy.best() if self.policy is not None else None
        return {str(self.policy.monitor): best[1]} if self.policy is not None and best is not None else {}

    def _is_saving_resumable(self) -> bool:
        return self.policy is not None and self.policy.is_saving_resumable
