"""Resuming a run: the checkpoint that `--resume` means, and the configuration to resume with."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from loguru import logger

from project.core.config.changes import changed_by_options, config_changes
from project.core.config.configuration import Config, build_config
from project.core.config.yaml_files import Tree, merge_all, parse_yaml
from project.core.distributed.cluster import restart_count
from project.core.errors import ConfigError
from project.core.run.checkpoint_files import LoadedCheckpoint, load_resumable, run_dir_of
from project.core.run.run_directory import belongs_to_job

AUTO = "auto"
_OPTIMIZER_SETTINGS = ("model.optimizer", "model.scheduler")


def find_resume_point(
    resume: str | None, directory: Path | None, environment: Mapping[str, str]
) -> LoadedCheckpoint | None:
    """Return the checkpoint that `--resume` means; None without this option, and if `auto` finds no run.

    A job that Slurm restarted resumes the run that it began, even without `--resume`.

    Args:
        resume: value of the option: a run directory, a checkpoint, or auto.
        directory: run directory ROOT/NAME of the configuration, if it has a name.
        environment: environment variables.

    Raises:
        ConfigError: there is no checkpoint that can be resumed.
    """
    if restart_count(environment):
        given = Path(resume) if resume else None
        for candidate in (directory, given, given and run_dir_of(given)):
            if candidate is not None and belongs_to_job(candidate, environment):
                return load_resumable(candidate)
    if resume is None:
        return None
    if not resume:
        raise ConfigError("--resume takes a run directory, a checkpoint, or auto")
    if resume != AUTO:
        checkpoint = load_resumable(Path(resume))
        if checkpoint.path.parent == Path():
            checkpoint.path = checkpoint.path.absolute()  # Lightning takes some file names for keywords
        return checkpoint
    if directory is None:
        return None
    if not any((directory / "checkpoints").glob("*.ckpt")):
        logger.info(f"{directory} contains no run to resume; starting a new one")
        return None
    return load_resumable(directory)


def saved_tree(checkpoint: LoadedCheckpoint) -> Tree:
    """Return the configuration in a checkpoint, as a tree."""
    tree: Tree = parse_yaml(checkpoint.header.config, f"the config in {checkpoint.path}")
    return tree


def resume_config(checkpoint: LoadedCheckpoint, options: Sequence[Tree]) -> Config:
    """Return the configuration of a resumed run: that of the checkpoint, with options merged over it.

    Raises:
        ConfigError: an option is not valid, or changes the type or parameter groups that the saved state belongs to.
    """
    saved = saved_tree(checkpoint)
    merged = saved
    directory = checkpoint.run_directory
    if directory is not None and (Path(saved["root"]) / saved["name"]).absolute() != directory:
        merged = saved | {"root": str(directory.parent), "name": directory.name}  # the run was moved
    merged = merge_all([merged, *options])
    config = build_config(merged)
    changes = changed_by_options(saved, merged, config)
    for path in changes:
        if path.startswith("model.groups") or path in ("model.optimizer.type", "model.scheduler.type"):
            raise ConfigError(f"--resume cannot change {path}; use --finetune to start a new run")
    if changes:
        logger.warning(f"resuming with changed settings: {'; '.join(changes.values())}")
    if any(path.startswith(_OPTIMIZER_SETTINGS) for path in changes):
        logger.warning(
            "optimizer and scheduler keep their state of the checkpoint, including the learning rate; "
            "use --finetune to start with new ones"
        )
    return config


def warn_of_ignored_changes(config: Config, given: Tree) -> None:
    """Warn if yaml files differ from the configuration of a resumed run.

    Args:
        config: the configuration of the run.
        given: the yaml files and options, merged.
    """
    try:
        changes = config_changes(config, build_config(given))
    except ConfigError as error:
        logger.warning(f"--resume uses the config saved in the checkpoint; the yaml files are not valid: {error}")
        return
    if changes:
        changed = "; ".join(changes.values())
        logger.warning(
            f"--resume uses the config saved in the checkpoint; ignored changes in the yaml files: {changed}"
        )
