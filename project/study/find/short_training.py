"""A training of a few steps that writes no files."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.cli import LightningArgumentParser

from project.core.cli.building import BuildCLI, build_training_set
from project.core.cli.trainer import build_trainer
from project.core.config.configuration import build_config
from project.core.config.pretrained import Pretrained
from project.core.config.settings import Settings
from project.core.config.yaml_files import Tree, merge_all
from project.core.data.datamodule import DataModule
from project.core.data.seeding import seed_run
from project.core.distributed.signals import Interruption
from project.core.model.fitting import FitToTrainingSet
from project.core.model.module import SupervisedModule
from project.core.run.pretrained import load_pretrained
from project.core.training.lightning_internals import replace_loops
from project.core.training.lightning_internals.access import end_on_sigterm

# Merged over the yaml, before its callbacks and loggers are built.
_TRAINER: Tree = {
    "logger": False,
    "callbacks": None,
    "profiler": None,
    "plugins": None,
    "strategy": "auto",
    "devices": 1,
    "num_nodes": 1,
    "sync_batchnorm": False,
    "fast_dev_run": False,
    "max_epochs": -1,
    "max_steps": -1,
    "max_time": None,
    "min_epochs": None,
    "min_steps": None,
    "limit_val_batches": 0,
    "num_sanity_val_steps": 0,
    "enable_checkpointing": False,
    "enable_model_summary": False,
}


class ShortTraining(BuildCLI):
    """LightningCLI that builds a training on one device, without validation, loggers and the callbacks of the yaml.

    Args:
        tree: the merged yaml files and options.
        watcher: callback that ends the training.

    Example::

        ShortTraining(tree, RangeTest(100)).run()
    """

    def __init__(self, tree: Tree, watcher: Callback) -> None:
        self.watcher = watcher
        super().__init__(build_config(merge_all([tree, {"trainer": _TRAINER}]), build_training_set))

    def run(self) -> None:
        """Train until the watcher ends it."""
        if isinstance(self.datamodule, DataModule):
            self.datamodule.check("train", self.trainer)
        if isinstance(self.model, SupervisedModule):
            # Many schedules set the rate when they are built, or need the length of the run.
            self.model.optimization.scheduler = None
        pretrained = getattr(self.model, "pretrained", None)
        if isinstance(pretrained, Pretrained):
            self._fitting.loaded |= load_pretrained(self.model, pretrained, "model.pretrained")
        self.trainer.fit(self.model, self.datamodule)

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_default_arguments_to_parser(parser)
        parser.add_class_arguments(Settings, instantiate=False)

    def instantiate_classes(self) -> None:
        seed_run(self.config.seed)
        super().instantiate_classes()

    def instantiate_trainer(self, **_: object) -> pl.Trainer:
        arguments: dict[str, Any] = dict(self.config_init.trainer)
        settings = Settings(**{name: self.config_init[name] for name in Settings.__dataclass_fields__})
        if isinstance(self.datamodule, DataModule):
            arguments["use_distributed_sampler"] = False
        self._fitting = FitToTrainingSet(settings.seed, Interruption(), is_resumed=False)
        first = [self._fitting, self.watcher]
        trainer = build_trainer(arguments, settings, Path(settings.root, settings.name), self.model, first, [], True)
        end_on_sigterm(trainer)
        replace_loops(trainer, lambda trainer, validates: None)
        return trainer
