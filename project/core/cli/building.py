"""Building a checked configuration with LightningCLI, its training set alone, and a trained module in Python."""

import sys
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from jsonargparse import Namespace
from loguru import logger
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from project.core.config.configuration import PARSER_MODE, Config, build_config
from project.core.config.construction import raising_constructor_errors
from project.core.config.paths import expand_path
from project.core.config.yaml_files import Tree
from project.core.data.datamodule import DataModule
from project.core.data.seeding import seed_run
from project.core.run.checkpoint_files import find_checkpoint, load_checkpoint
from project.core.run.resume import saved_tree
from project.registry import Dataset

_parsers: dict[tuple[object, ...], LightningArgumentParser] = {}  # by BuildCLI.parser_key


class BuildCLI(LightningCLI):
    """LightningCLI that parses and builds a checked configuration. It reads no options and runs no stage.

    Args:
        config: the configuration.
    """

    config: Namespace

    def __init__(self, config: Config) -> None:
        self.checked_config = config
        super().__init__(
            config.model_class,
            config.data_class,
            save_config_callback=None,
            seed_everything_default=False,
            parser_kwargs={"allow_abbrev": False, "exit_on_error": False, "parser_mode": PARSER_MODE},
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    @property
    def values(self) -> Tree:
        """The values to parse, by argument of the parser."""
        return self.checked_config.values

    @property
    def parser_key(self) -> tuple[object, ...]:
        """What the parser depends on."""
        return type(self), self.checked_config.model_class, self.checked_config.data_class

    def setup_parser(self, *arguments: Any) -> None:
        """Build the parser, or take the one that this process, or the one that it was forked from, has built."""
        if self.parser_key not in _parsers:
            super().setup_parser(*arguments)
            _parsers[self.parser_key] = self.parser
        self.parser = _parsers[self.parser_key]

    def instantiate_classes(self) -> None:
        """Build the module, and in a stage the data module and the trainer."""
        with raising_constructor_errors(self.checked_config.components):
            super().instantiate_classes()

    def parse_arguments(self, parser: LightningArgumentParser, args: object) -> None:
        self.config = self.checked_config.parse(parser, self.values)


class PartCLI(BuildCLI):
    """LightningCLI that builds the module or the data module of a configuration, and no trainer.

    Args:
        config: the configuration.
        part: model or data.
    """

    def __init__(self, config: Config, part: Literal["model", "data"]) -> None:
        self.part = part
        super().__init__(config)

    @property
    def values(self) -> Tree:
        return {self.part: self.checked_config.values[self.part]}

    @property
    def parser_key(self) -> tuple[object, ...]:
        return *super().parser_key, self.part

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        config = self.checked_config
        parser.add_lightning_class_args(config.model_class if self.part == "model" else config.data_class, self.part)

    def instantiate_trainer(self, **_: object) -> None:  # type: ignore[override]
        """Build no trainer."""


def build_training_set(tree: Tree) -> Dataset:
    """Build the training set of a tree, for values that refer to it; the run builds its own.

    Args:
        tree: `data` with the keys `train` and `data_dir`, and `seed`, so that all processes build the same.

    Raises:
        ConfigError: it cannot be built.
    """
    others = {"name": "training_set", "model": {"type": "pytorch_lightning.LightningModule"}}
    cli = PartCLI(build_config(others | tree), "data")
    seed_run(cli.checked_config.plain_values["seed"].value if "seed" in tree else 0)
    data: DataModule = cli.datamodule
    return data.build_training_set()


def load_module(path: Path, trust: bool = False) -> pl.LightningModule:
    """Build the module of a checkpoint's configuration, load its weights, and set evaluation mode.

    Args:
        path: a checkpoint, or a run directory.
        trust: whether the configuration may name any class.

    Raises:
        ConfigError: there is no checkpoint, or it cannot be read.
    """
    checkpoint = load_checkpoint(find_checkpoint(Path(expand_path(str(path), "run"))))
    module: pl.LightningModule = PartCLI(build_config(saved_tree(checkpoint, trusts=trust)), "model").model
    checkpoint.load_weights(module)
    _warn_of_foreign_ops()
    return module.eval()


def _warn_of_foreign_ops() -> None:
    """Warn if `ops` is that of another project: each has such a package, and Python imports the first on its path."""
    package, ops = __name__.partition(".")[0], sys.modules.get("ops")
    namespace = getattr(getattr(ops, "_build", None), "NAMESPACE", f"{package}_ops")
    if namespace != f"{package}_ops":
        logger.warning(f"`ops` is that of another project ({namespace}); start Python in the directory of {package}")
