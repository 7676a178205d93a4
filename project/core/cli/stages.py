"""The stages: StageCLI builds what a stage needs, and `StageCLI.run` runs it."""

import json
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jsonargparse import Namespace
from loguru import logger
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.cli import LightningArgumentParser
from pytorch_lightning.utilities.model_helpers import is_overridden

from project.core.cli.arguments import Arguments
from project.core.cli.augmentation import warn_of_augmentation
from project.core.cli.building import BuildCLI
from project.core.cli.progress import EpochLogger, EvaluationLogger, has_epoch_line, line_level
from project.core.cli.trainer import as_list, build_trainer, for_export
from project.core.cli.unsupported import check_arguments, check_skipped_steps
from project.core.config.annotations import parameters_of, union_members
from project.core.config.configuration import Config, build_group
from project.core.config.given import given_yaml
from project.core.config.hyper_parameters import hyper_parameters
from project.core.config.pretrained import Pretrained
from project.core.config.settings import Settings
from project.core.config.trust import needs_trust
from project.core.data.datamodule import DataModule
from project.core.data.seeding import seed_run
from project.core.digest_file import DIGESTS
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError
from project.core.evaluation.extremes import ExtremeSamples
from project.core.evaluation.periodic import PeriodicEvaluation
from project.core.evaluation.pictures import ProgressPictures, check_visuals
from project.core.evaluation.results import ResultsWriter
from project.core.export.exporting import Origin, export
from project.core.export.options import parse_formats
from project.core.installation import COMMAND
from project.core.log import logging_to_console
from project.core.model.module import SupervisedModule
from project.core.run.checkpoint_files import LoadedCheckpoint
from project.core.run.loggers import set_run_ids
from project.core.run.monitor import MonitorCheck, resolve_monitor
from project.core.run.pretrained import with_checksum
from project.core.run.pruning import Pruning
from project.core.run.run import Run
from project.core.run.run_directory import LOG, RunDirectory
from project.core.run.start import RunStart
from project.core.training.digests.recorder import DigestRecorder
from project.core.training.lightning_internals import replace_evaluation_loops
from project.core.training.lightning_internals.access import end_on_sigterm
from project.core.training.lightning_internals.step_log import LearningRates

_SPLITS = {"fit": "train", "validate": "val", "test": "eval", "predict": "predict"}


class StageCLI(BuildCLI):
    """LightningCLI that builds module, data module and trainer of a stage; `run` runs the stage.

    Args:
        arguments: the command line.
        config: the configuration.
        checkpoint: checkpoint that fit resumes, or that the other stages evaluate or export.
        interruption: receives the signals that ask the run to stop.
        stack: closes the logs and unlocks the directory, after the caller has logged the last message.
        results: directory of the results of the other stages.
        pruning: decides after each validation whether a training ends; None lets it end by itself.

    Example::

        stage = StageCLI(arguments, config, None, Interruption(), stack)
        stage.run()
    """

    def __init__(
        self,
        arguments: Arguments,
        config: Config,
        checkpoint: LoadedCheckpoint | None,
        interruption: Interruption,
        stack: ExitStack,
        results: Path | None = None,
        pruning: Pruning | None = None,
    ) -> None:
        self.arguments, self.checkpoint, self.results = arguments, checkpoint, results
        self.interruption, self.stack, self.pruning = interruption, stack, pruning
        check_arguments(config.values.get("trainer", {}), self.is_fit)
        super().__init__(config)

    @property
    def is_fit(self) -> bool:
        """Whether the stage is fit."""
        return self.arguments.stage == "fit"

    @property
    def results_config(self) -> str:
        """What is written to config.yaml of the results."""
        sources = self.checkpoint.sources if self.checkpoint else []
        lines = [f"# average with {json.dumps(str(path.absolute()))}\n" for path in sources[1:]]
        return "".join([*lines, self.config_yaml])

    def run(self) -> None:
        """Run the stage."""
        if self.arguments.stage in ("fit", "export"):
            warn_of_augmentation(self.checked_config.components)
        if self.is_fit:
            self.training_run.train(self.trainer, self.model, self.datamodule, self.stack)
            return
        assert self.checkpoint is not None
        self.checkpoint.load_weights(self.model)
        logger.info(f"loaded weights from {self.checkpoint.path}")
        if self.arguments.stage == "validate":
            self.trainer.validate(self.model, self.datamodule, verbose=False)
        elif self.arguments.stage == "test":
            self.trainer.test(self.model, self.datamodule, verbose=False)
        elif self.arguments.stage == "export":
            assert self.results is not None
            formats = parse_formats(self.arguments.options.get("formats"))
            origin = Origin(self.checkpoint.path, self.checkpoint.sha256, self.config_yaml)
            export(self.model, self.trainer, self.datamodule, formats, self.results, origin)
        else:
            self.trainer.predict(self.model, self.datamodule, return_predictions=False)

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_default_arguments_to_parser(parser)
        parser.add_class_arguments(Settings, instantiate=False)

    def parse_arguments(self, parser: LightningArgumentParser, args: object) -> None:
        super().parse_arguments(parser, args)
        pretrained = self._pretrained()
        if pretrained is not None and not self.arguments.print_config:  # config.yaml has the checksum of the weights
            pretrained.sha256 = with_checksum(Pretrained(**pretrained.as_dict()), "model.pretrained").sha256
        self.config_yaml = self.checked_config.to_yaml(parser, self.config)

    def _pretrained(self) -> Namespace | None:
        """Return `model.pretrained`, if a new run starts with these weights."""
        module_class: type = self.checked_config.model_class
        parameter = parameters_of(module_class).get("pretrained")
        takes_weights = parameter is not None and Pretrained in union_members(parameter.annotation)
        return self.config.get("model.pretrained") if takes_weights and self.is_fit and not self.checkpoint else None

    def instantiate_classes(self) -> None:
        """Build data module, module and trainer; none for --print_config, which needs only the parsed values."""
        if not self.arguments.print_config:
            self._prepare()
            super().instantiate_classes()
            self._check_pretrained()
            self._check_data()

    def _check_pretrained(self) -> None:
        """Raise ConfigError if a module of the user's own does not keep `model.pretrained`, which would do nothing."""
        if self._pretrained() is not None and not isinstance(getattr(self.model, "pretrained", None), Pretrained):
            name = type(self.model).__name__
            raise ConfigError(
                f"model.pretrained: {name} does not keep it, so that no weights would be loaded\n"
                "Write self.pretrained = pretrained in its constructor"
            )

    def _prepare(self) -> None:
        config = self.config
        self.stack.enter_context(logging_to_console(config.log_level))
        seed_run(config.seed)
        self.directory = RunDirectory(config.root, config.name)
        if self.is_fit:
            replace = self.arguments.replace or config.replace
            is_fast_dev_run = bool(config.trainer.fast_dev_run)
            components = self.checked_config.components
            self.start = RunStart(
                self.directory, replace, self.checkpoint, self._finetune(), is_fast_dev_run, components
            )
            pretrained = self._pretrained()
            self.start.check(pretrained.path if pretrained is not None else None)
            if self.start.finetune is not None:
                self.start.finetune = with_checksum(self.start.finetune, "--finetune")
            set_run_ids(config.trainer.logger, self.start.logger_states, config.name)

    def _finetune(self) -> Pretrained | None:
        if self.checkpoint is not None or not self.arguments.finetune:
            return None
        return build_group({"strict": False} | self.arguments.finetune, Pretrained, "--finetune")

    def instantiate_trainer(self, **_: object) -> pl.Trainer:
        arguments: dict[str, Any] = dict(self.config_init.trainer)
        settings = Settings(**{name: self.config_init[name] for name in Settings.__dataclass_fields__})
        check_visuals(settings.visual or {})
        if isinstance(self.datamodule, DataModule):
            arguments["use_distributed_sampler"] = False  # DataModule divides the samples itself
        if self.is_fit:
            first, last = self.build_run(settings, arguments)
        else:
            assert self.results is not None
            assert self.checkpoint is not None
            classes = self.checkpoint.classes
            self.writer = ResultsWriter(self.results, settings.visual or {}, self.results_config, classes)
            first = [EvaluationLogger(line_level())]
            last = [self.writer, ExtremeSamples(self.results, settings.visual or {})]
            if self.arguments.stage == "export":
                arguments, last = arguments | for_export(self.checkpoint.is_double), []
        trainer = build_trainer(arguments, settings, self.directory.path, self.model, first, last, self.is_fit)
        if self.is_fit:
            check_skipped_steps(settings.skip_steps or (), self.model)
            self.training_run.attach(trainer)
        else:
            replace_evaluation_loops(trainer)
            end_on_sigterm(trainer)
        return trainer

    def build_run(self, settings: Settings, arguments: dict[str, Any]) -> tuple[list[Callback], list[Callback]]:
        """Build the training run.

        Args:
            settings: its settings.
            arguments: arguments of the trainer, which may be changed.

        Returns:
            The callbacks that are called before those of the yaml, and those that are called after them.
        """
        values = hyper_parameters(self.checked_config)
        given = given_yaml(self.checked_config.given, self.checked_config.tree)
        trust = needs_trust(each.cls for each in self.checked_config.components)
        self.training_run = Run(
            self.start, settings, self.config_yaml, given, values, self.interruption, self.pruning, trust
        )
        last = self._fit_callbacks(self.training_run, settings, arguments)
        policy = self.training_run.policy
        monitor = policy.monitor if policy else None
        check = MonitorCheck(settings, monitor, as_list(arguments["callbacks"]))
        lines = [EpochLogger(line_level(), self._logged_epoch(), monitor), EvaluationLogger(line_level())]
        return [self.training_run.fitting, *lines, check, *self._digest_recorders(settings)], last

    def _check_data(self) -> None:
        if isinstance(self.datamodule, DataModule) and self.arguments.stage in _SPLITS:  # export takes one that is set
            if self.arguments.stage == "test":
                self._check_eval(self.datamodule)
            self.datamodule.check(_SPLITS[self.arguments.stage], self.trainer)
            if (
                self.is_fit
                and self.datamodule.dataset_names("val")
                and not is_overridden("validation_step", self.model)
            ):
                logger.warning(f"model ({type(self.model).__name__}) has no validation_step, so data.val is not used")
            if self.is_fit and self.training_run.settings.evaluation.is_active:
                self.datamodule.check("eval", self.trainer)

    def _check_eval(self, data: DataModule) -> None:
        if data.dataset_names("val") and not data.dataset_names("eval"):
            trust, path = " --trust" if self.arguments.trust else "", shlex.quote(self.arguments.ckpt_path)
            raise ConfigError(
                "data.eval is not set; this stage needs it\n"
                f"Set it, or evaluate data.val: {COMMAND} validate --ckpt_path {path}{trust}"
            )

    def _fit_callbacks(self, run: Run, settings: Settings, trainer: dict[str, Any]) -> list[Callback]:
        directory, is_fast_dev_run = self.directory.path, self.start.is_fast_dev_run
        saves = trainer["enable_checkpointing"] is not False and not is_fast_dev_run
        callbacks = [*run.callbacks(saves, self._monitor(settings) if saves else None)]
        if trainer["logger"] is not False:
            callbacks.append(LearningRates())
        if settings.visual:
            files = directory / "progress" if settings.progress.local and not is_fast_dev_run else None
            callbacks.append(ProgressPictures(settings.visual, settings.progress, files))
        if settings.evaluation.is_active:
            self._check_evaluation_classes()
            callbacks.append(
                PeriodicEvaluation(
                    settings.evaluation,
                    settings.seed,
                    directory / "eval",
                    settings.visual or {},
                    self.config_yaml,
                    run.before_evaluation_batch,
                )
            )
        return callbacks

    def _digest_recorders(self, settings: Settings) -> list[Callback]:
        if self.start.is_fast_dev_run or not (settings.digests.parameters or settings.digests.all):
            return []
        return [DigestRecorder(self.directory.path / DIGESTS, settings.digests)]

    def _logged_epoch(self) -> int | None:
        """Return the epoch of the checkpoint if its line was logged after the checkpoint was saved."""
        checkpoint = self.checkpoint
        if checkpoint is None or not self.start.resumes_in_place:
            return None
        log = self.directory.path / LOG
        return checkpoint.epoch if has_epoch_line(log, checkpoint.header.log_size, checkpoint.epoch) else None

    def _monitor(self, settings: Settings) -> str | None:
        val_names = self.datamodule.dataset_names("val") if isinstance(self.datamodule, DataModule) else None
        return resolve_monitor(settings.checkpoint, val_names)

    def _check_evaluation_classes(self) -> None:
        if not (isinstance(self.model, SupervisedModule) and isinstance(self.datamodule, DataModule)):
            raise ConfigError(
                "evaluation during training needs a SupervisedModule and a DataModule, or subclasses of them"
            )
