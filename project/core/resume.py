"""Going on with a run (`--resume`), and beginning from the weights of another (`--finetune`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from loguru import logger
from torch import Tensor

from project.core.arguments import Arguments
from project.core.checkpoint import find_checkpoint, find_resumable, read_plain, run_of
from project.core.cluster import restarts, task_name
from project.core.config import Config, build_config
from project.core.errors import ConfigError
from project.core.run_folder import is_of_job
from project.core.settings import ROOT
from project.core.yaml_files import Tree, merge_all, parse_yaml

AUTO = "auto"
_OF_THE_OPTIMIZER = ("model.optimizer", "model.scheduler")
_ABSENT = "not there"
_OF_THE_FOLDER = ("name", "root", "replace", "log_level", "timeout")


@dataclass
class Origin:
    """The checkpoint that a run goes on from.

    Args:
        checkpoint: its content.
        path: its file.
    """

    checkpoint: dict[str, Any]
    path: Path

    @property
    def step(self) -> int:
        """The step that it was written behind."""
        return int(self.checkpoint["global_step"])

    @property
    def run(self) -> Path | None:
        """The run's folder; none for a checkpoint that was copied elsewhere."""
        return run_of(self.path).absolute() if self.path.parent.name == "checkpoints" else None

    def config(self, overrides: list[Tree]) -> Config:
        """The run's own configuration, with what was typed over it, in the folder that the checkpoint lies in.

        Raises:
            ConfigError: what was typed is not valid, or needs another optimizer than the checkpoint has.
        """
        saved = parse_yaml(self.checkpoint["run_config"], f"the config in {self.path}")
        before = build_config(saved)
        if self.run is not None and (Path(saved["root"]) / saved["name"]).absolute() != self.run:
            saved |= {"root": str(self.run.parent), "name": self.run.name}
        config = build_config(merge_all([saved, *overrides]))
        changes = differences(before, config, removed=True)
        for path in changes:
            if path.startswith("model.groups") or path in ("model.optimizer.type", "model.scheduler.type"):
                raise ConfigError(f"{path} is not that of the run, whose state --resume takes; --finetune begins anew")
        if changes:
            logger.warning(f"resumed with other settings: {'; '.join(changes.values())}")
        if any(path.startswith(_OF_THE_OPTIMIZER) for path in changes):
            logger.warning(
                "the state of optimizer and scheduler is the checkpoint's, with the learning rate and all else in it; "
                "--finetune begins with new ones"
            )
        return config

    def warn_of(self, files: list[Tree], overrides: list[Tree]) -> None:
        """Says where yaml files, changed since, are not what the run goes on with."""
        now = merge_all([parse_yaml(self.checkpoint["run_config"], ""), *overrides])
        try:
            changes = differences(build_config(now), build_config(merge_all([*files, *overrides])))
        except ConfigError as error:
            logger.warning(f"the run goes on with its own config; the files given are not valid: {error}")
            return
        if changes:
            told = "; ".join(changes.values())
            logger.warning(f"the run goes on with its own config, whatever the files say now: in them {told}")


def name_task(arguments: Arguments, files: list[Tree], environment: Mapping[str, str]) -> None:
    """Gives each task of Slurm's arrays a name, and so a folder, of its own."""
    name = merge_all([*files, *arguments.overrides]).get("name")
    if arguments.options.get("resume", AUTO) == AUTO and isinstance(name, str) and task_name(name, environment) != name:
        arguments.overrides.append({"name": task_name(name, environment)})


def find_origin(arguments: Arguments, files: list[Tree], environment: Mapping[str, str]) -> Origin | None:
    """The checkpoint that `--resume` means; none without it, and where `auto` finds no run yet.

    A job that Slurm has started again goes on with what it began, whatever was typed.

    Raises:
        ConfigError: there is none, or an option that excludes it.
    """
    resume = arguments.options.get("resume")
    if arguments.stage == "fit" and restarts(environment):
        given = Path(resume) if resume else None  # a run's folder, or a checkpoint in one
        for folder in (_folder_of(arguments, files), given, given and run_of(given)):
            if folder is not None and is_of_job(folder, environment):
                path, checkpoint = find_resumable(folder)
                return Origin(checkpoint, path)
    if resume is None:
        return None
    if "finetune" in arguments.options or arguments.replace:
        other = "replace" if arguments.replace else "finetune"
        raise ConfigError(f"--resume goes on with a run and --{other} begins one: give one of them")
    if not resume:
        raise ConfigError("--resume takes a run's folder, a checkpoint, or auto")
    if resume == AUTO:
        folder = _folder_of(arguments, files)
        if folder is None:
            return None
        if not any((folder / "checkpoints").glob("*.ckpt")):
            logger.info(f"there is nothing to resume in {folder}: the run begins")
            return None
    else:
        folder = Path(resume)
    path, checkpoint = find_resumable(folder)
    return Origin(checkpoint, path.absolute() if path.parent == Path() else path)


def _folder_of(arguments: Arguments, files: list[Tree]) -> Path | None:
    """The run's folder; none without a name, which is a mistake that is told where the config is checked."""
    tree = merge_all([*files, *arguments.overrides])
    return Path(str(tree.get("root", ROOT))) / str(tree["name"]) if tree.get("name") else None


def differences(one: Config, two: Config, removed: bool = False) -> dict[str, str]:
    """The settings of `two` that `one` has not or has otherwise, by place, in words.

    Args:
        one: a configuration.
        two: another.
        removed: also those that `two` has not.
    """
    old, new = ({leaf.path: leaf.value for leaf in config.leaves} for config in (one, two))
    told = {path: f"{path} is {new[path]!r}, was {_word(old, path)}" for path in new if _differs(path, new, old)}
    gone = [path for path in old if removed and path not in new and not any(path.startswith(f"{top}.") for top in told)]
    return told | {path: f"{path} is gone, was {old[path]!r}" for path in gone}


def _differs(path: str, new: dict[str, Any], old: dict[str, Any]) -> bool:
    if path in _OF_THE_FOLDER:
        return False
    return old[path] != new[path] if path in old else new[path] is not None or _word(old, path) != _ABSENT


def _word(values: dict[str, Any], path: str) -> str:
    """A setting's value, or whether anything stands there."""
    if path in values:
        return repr(values[path])
    return "set" if any(other.startswith(f"{path}.") for other in values) else _ABSENT


def load_matching(module: torch.nn.Module, path: Path) -> None:
    """Loads the tensors of a file whose names and shapes are those of the module's; the others begin anew.

    Args:
        module: a LightningModule.
        path: a checkpoint, a run's folder, or a file of tensors by name, such as the state_dict of a net.

    Raises:
        ConfigError: the file cannot be read, or nothing in it matches.
    """
    file = find_checkpoint(path)
    found = read_plain(file)
    found = next((found[key] for key in ("state_dict", "model") if isinstance(found, dict) and key in found), found)
    given = (
        {name: value for name, value in found.items() if isinstance(value, Tensor)} if isinstance(found, dict) else {}
    )
    own = module.state_dict()
    if not given.keys() & own.keys():  # of a bare net
        given = {f"net.{name}": value for name, value in given.items()}
    matching = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not matching:
        raise ConfigError(f"--finetune {path}: none of its {len(given)} tensors has a name and shape of this model")
    module.load_state_dict(matching, strict=False)
    logger.info(f"{len(matching)} of the model's {len(own)} tensors are from {file}, which has {len(given)}")
    for name in own.keys() - matching.keys():
        logger.debug(f"begins anew: {name} {tuple(own[name].shape)}")
    for name in given.keys() - matching.keys():
        logger.debug(f"not used: {name} {tuple(given[name].shape)}")
