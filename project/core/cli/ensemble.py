"""Several runs in the place of a checkpoint: validate, test and predict average their outputs."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger
from torch import nn

from project.core.cli.arguments import Arguments
from project.core.cli.building import PartCLI
from project.core.config.configuration import Config
from project.core.errors import ConfigError
from project.core.export.exported_model import ONNX
from project.core.model.ensemble import average_outputs
from project.core.model.module import SupervisedModule
from project.core.run.checkpoint_files import LoadedCheckpoint, find_checkpoint
from project.core.run.run_directory import is_run


@dataclass
class Ensemble(LoadedCheckpoint):
    """The checkpoint of the first run, together with those of others, whose nets may differ.

    Args:
        others: the other checkpoints and their configurations.
    """

    others: Sequence[tuple[Config, LoadedCheckpoint]]

    @property
    def sources(self) -> list[Path]:
        return [self.path, *(checkpoint.path for _, checkpoint in self.others)]

    def load_weights(self, module: nn.Module) -> None:
        """Load the weights of all, and have the module return the averages of their outputs.

        Raises:
            ConfigError: a module is no SupervisedModule, or the runs have different classes.
        """
        super().load_weights(module)
        modules: dict[str, SupervisedModule] = {}
        for config, checkpoint in self.others:
            if checkpoint.classes != self.classes:
                raise ConfigError(f"an ensemble needs equal classes: {checkpoint.path} has others than {self.path}")
            other = PartCLI(config, "model").model
            checkpoint.load_weights(other)
            modules[str(checkpoint.path)] = _check_module(other, checkpoint.path)
        average_outputs(_check_module(module, self.path), modules)
        logger.info("averaging the outputs with those of " + ", ".join(modules))


def find_checkpoints(arguments: Arguments) -> list[Path]:
    """Return the checkpoints that --ckpt_path means: one, or those of several runs for an ensemble.

    Raises:
        ConfigError: there is none, or the results of an ensemble have no directory.
    """
    text = arguments.ckpt_path
    if Path(text).exists() or not any(mark in text for mark in ",*?["):
        return [find_checkpoint(Path(text))]
    found = dict.fromkeys(find_checkpoint(path) for part in text.split(",") for path in _match(part.strip()))
    if len(found) > 1 and any(path.suffix.lower() == ONNX for path in found):
        raise ConfigError("an ensemble takes runs and checkpoints, not exported models")
    if len(found) > 1 and "results_dir" not in arguments.options:
        raise ConfigError(f"an ensemble of {len(found)} runs needs --results_dir, a directory for its results")
    return [*found]


def _match(pattern: str) -> list[Path]:
    """Return the run directories that a pattern matches, or the files if there are none."""
    if Path(pattern).exists():
        return [Path(pattern)]
    paths = [Path(name) for name in sorted(glob.glob(pattern))]  # noqa: PTH207 (Path.glob takes no absolute pattern)
    if matched := [path for path in paths if is_run(path)] or [path for path in paths if path.is_file()]:
        return matched
    raise ConfigError(f"--ckpt_path: there is no run or checkpoint {pattern!r}")


def _check_module(module: nn.Module, path: Path) -> SupervisedModule:
    if not isinstance(module, SupervisedModule):
        raise ConfigError(f"an ensemble takes SupervisedModules; model of {path} is a {type(module).__name__}")
    return module
