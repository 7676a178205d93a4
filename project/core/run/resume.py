"""Resuming a run: the checkpoint that `--resume` means, and the configuration to resume with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loguru import logger

from project.core.config.changes import changed_by_options, config_changes
from project.core.config.configuration import Config, build_config
from project.core.config.reference_texts import unescape
from project.core.config.references import BuildTrainingSet, ReferenceResolver
from project.core.config.trust import SavedText, mark_saved, texts_in
from project.core.config.values import to_type
from project.core.config.yaml_files import Tree, merge_all, parse_yaml
from project.core.distributed.cluster import restart_count
from project.core.errors import ConfigError
from project.core.run.checkpoint_files import LoadedCheckpoint, load_resumable, run_dir_of
from project.core.run.job_record import belongs_to_job
from project.core.run.optimizer_settings import NEW_RUN
from project.core.run.run_directory import is_run

AUTO = "auto"
_FIRST_WEIGHTS = "model.pretrained"  # a resumed run has the weights of its checkpoint
_FIXED = ("model.optimizer.type", "model.scheduler.type")


def find_resume_point(
    resume: str | None, directory: Path | None, environment: Mapping[str, str]
) -> LoadedCheckpoint | None:
    """Return the checkpoint that `--resume` means; None without this option, and if `auto` finds no run.

    A job that Slurm or torchrun restarted resumes the run that it began, even without `--resume`.

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
        if is_run(directory):
            logger.info(f"the run in {directory} ended before its first checkpoint; starting it again")
        else:
            logger.info(f"{directory} contains no run to resume; starting a new one")
        return None
    return load_resumable(directory)


def saved_tree(checkpoint: LoadedCheckpoint, given: Sequence[Tree] = (), trusts: bool = False) -> Tree:
    """Return the configuration in a checkpoint, as a tree, with the root and name of the directory that it is in.

    Args:
        checkpoint: the checkpoint.
        given: the user's yaml files and options; what they name, the configuration may name as well.
        trusts: whether it may name anything.

    Raises:
        ConfigError: the configuration is damaged.
    """
    tree: Tree = unescape(parse_yaml(checkpoint.header.config, f"the config in {checkpoint.path}"))
    if not (isinstance(tree, dict) and isinstance(tree.get("root"), str) and isinstance(tree.get("name"), str)):
        raise ConfigError(f"the config in {checkpoint.path} is damaged: it has no `root` and `name`")
    if trusts:
        return tree
    known = ReferenceResolver(merge_all(given)).resolve_known(merge_all(given))
    marked: Tree = mark_saved(tree, set[str]().union(*map(texts_in, [*given, known])))
    return marked


def locate(tree: Tree, directory: Path) -> Tree:
    """Return a tree with the root and name of the run directory, which may have been moved."""
    if (Path(tree["root"]) / tree["name"]).absolute() == directory.absolute():
        return tree
    return tree | {"root": str(directory.absolute().parent), "name": directory.absolute().name}


def build_over_saved(
    saved: Tree, given: Sequence[Tree], what: str, build_training_set: BuildTrainingSet | None = None
) -> Config:
    """Return the configuration of a checkpoint with yaml files and options merged over it, which may refer to it.

    Args:
        saved: the configuration in the checkpoint.
        given: the files and options.
        what: stage or option, for a message.
        build_training_set: builds the training set, if they refer to it.

    Raises:
        ConfigError: they are not valid, or change `vars`, to which the saved values no longer refer, without an effect.
    """
    # Resolved before they are merged, a `type: ${vars.net}` that is the saved type keeps the saved arguments.
    resolver = ReferenceResolver(merge_all(given))
    config = build_config(merge_all([saved, *map(resolver.resolve_known, given)]), build_training_set)
    config.references |= resolver.texts
    before, after = (to_type(tree.get("vars") or {}, dict[str, Any]) for tree in (saved, config.tree))
    if before != after and not config.refers_to_constants:
        raise ConfigError(
            f"{what} cannot change vars: the saved config contains the values that referred to it; set these instead"
        )
    return config


def resume_config(
    checkpoint: LoadedCheckpoint,
    saved: Tree,
    options: Sequence[Tree],
    build_training_set: BuildTrainingSet | None = None,
) -> Config:
    """Return the configuration of a resumed run: that of the checkpoint, with options merged over it.

    Args:
        checkpoint: the checkpoint.
        saved: its configuration.
        options: the options.
        build_training_set: builds the training set, if an option refers to it.

    Raises:
        ConfigError: an option is not valid, or changes the type or parameter groups that the saved state belongs to.
    """
    directory = checkpoint.run_directory
    located = locate(saved, directory) if directory else saved
    root = merge_all([located, *options])["root"]
    is_elsewhere = Path(root).is_absolute() or ".." in Path(root).parts
    if directory is None and isinstance(root, SavedText) and is_elsewhere:
        raise ConfigError(f"{checkpoint.path} is in no run directory; set --root (its config has '{root}')")
    config = build_over_saved(located, options, "--resume", build_training_set)
    changes = changed_by_options(saved, config.tree, config)
    for path in changes:
        if path in _FIXED or path.startswith(_FIRST_WEIGHTS):
            raise ConfigError(f"--resume cannot change {path}; {NEW_RUN}")
    if _groups(saved) != _groups(config.tree):
        raise ConfigError(f"--resume cannot change `match` and `freeze` in model.groups; {NEW_RUN}")
    _check_skipped_steps(saved, config.tree, checkpoint)
    if changes:
        logger.warning(f"resuming with changed settings: {'; '.join(changes.values())}")
    return config


def _check_skipped_steps(saved: Tree, resumed: Tree, checkpoint: LoadedCheckpoint) -> None:
    """Raise ConfigError if `skip_steps` names a step that the checkpoint contains: the record would be false."""
    before, now = (to_type(tree.get("skip_steps") or [], list[int]) for tree in (saved, resumed))
    trained = sorted(step for step in {*now} - {*before} if step <= checkpoint.step)
    if trained:
        raise ConfigError(
            f"skip_steps: step {trained[0]} was trained before {checkpoint.path} was saved (step {checkpoint.step})\n"
            "Resume an earlier checkpoint of the run: --resume RUN/checkpoints/FILE"
        )


def _groups(tree: Tree) -> list[tuple[object, bool]]:
    """Return which parameters `model.groups` means, and whether they are frozen."""
    groups = tree["model"].get("groups") if isinstance(tree.get("model"), dict) else None
    items = groups if isinstance(groups, list) else []
    return [(item.get("match"), to_type(item.get("freeze"), bool) or False) for item in items if isinstance(item, dict)]


def warn_of_ignored_changes(config: Config, given: Tree, build_training_set: BuildTrainingSet | None = None) -> None:
    """Warn if yaml files differ from the configuration of a resumed run.

    Args:
        config: the configuration of the run.
        given: the yaml files and options, merged.
        build_training_set: builds their training set, if they refer to it.
    """
    try:
        changes = config_changes(config, build_config(given, build_training_set))
    except ConfigError as error:
        logger.warning(f"--resume uses the config saved in the checkpoint; the yaml files are not valid: {error}")
        return
    if changes:
        changed = "; ".join(changes.values())
        logger.warning(
            f"--resume uses the config saved in the checkpoint; ignored changes in the yaml files: {changed}"
        )
