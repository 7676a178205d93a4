"""Building a stage from the command line: which checkpoint it takes, and the configuration with which it runs."""

import os
from contextlib import ExitStack
from pathlib import Path

from project.core.cli.arguments import Arguments
from project.core.cli.building import build_training_set
from project.core.cli.ensemble import Ensemble, find_checkpoints
from project.core.cli.file_stage import RESULTS as FILE_RESULTS
from project.core.cli.file_stage import FileStageCLI
from project.core.cli.stages import StageCLI
from project.core.config.configuration import Config, build_config
from project.core.config.references import ReferenceResolver
from project.core.config.settings import DEFAULT_ROOT
from project.core.config.yaml_files import Tree, merge_all
from project.core.distributed.cluster import array_task_name
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError
from project.core.export.exported_model import (
    ONNX,
    check_unchanged,
    in_full_precision,
    load_exported,
    origin_directory,
    results_directory,
)
from project.core.export.options import parse_formats
from project.core.export.report import sha256
from project.core.file_names import check_file_name
from project.core.run.bare_weights import BareWeights, bare_weights
from project.core.run.checkpoint_files import (
    LoadedCheckpoint,
    find_checkpoint,
    is_checkpoint,
    load_checkpoint,
    run_dir_of,
    safe_load,
)
from project.core.run.pruning import Pruning
from project.core.run.resume import (
    AUTO,
    build_over_saved,
    find_resume_point,
    locate,
    resume_config,
    saved_tree,
    warn_of_ignored_changes,
)
from project.core.writable import check_writable


def build_stage(
    arguments: Arguments,
    files: list[Tree],
    interruption: Interruption,
    stack: ExitStack,
    pruning: Pruning | None = None,
) -> StageCLI:
    """Build the stage that the command line names.

    Args:
        arguments: the command line.
        files: contents of its yaml files.
        interruption: receives the signals that ask the run to stop.
        stack: closes the logs and unlocks the directory, after the caller has logged the last message.
        pruning: decides after each validation whether a training ends; None lets it end by itself.

    Raises:
        ConfigError: a mistake in yaml or options, or the checkpoint does not exist.
    """
    if arguments.stage == "fit":
        return _build_fit(arguments, files, interruption, stack, pruning)
    build = _build_export if arguments.stage == "export" else _build_evaluation
    return build(arguments, files, interruption, stack)


def _build_fit(
    arguments: Arguments, files: list[Tree], interruption: Interruption, stack: ExitStack, pruning: Pruning | None
) -> StageCLI:
    given = merge_all([*files, *arguments.settings])
    resume = arguments.options.get("resume")
    if resume is not None and (arguments.finetune or arguments.replace):
        other = "replace" if arguments.replace else "finetune"
        raise ConfigError(f"--resume continues a run, and --{other} starts one; use only one of them")
    resolver = ReferenceResolver(given, build_training_set)
    run = resolver.resolve("name", "root")
    if resume in (None, AUTO) and isinstance(run.get("name"), str):
        name = array_task_name(run["name"], os.environ)
        if name != run["name"]:
            run["name"] = given["name"] = name
            arguments.settings.append({"name": name})
    directory = Path(str(run.get("root", DEFAULT_ROOT))) / str(run["name"]) if run.get("name") else None
    if directory is not None and not (resume is not None and (directory / "checkpoints").is_dir()):
        check_file_name(str(run["name"]), "name")  # older versions allowed others
    checkpoint = find_resume_point(resume, directory, os.environ)
    if checkpoint is None:
        config = build_config(given, build_training_set)
        config.references |= resolver.texts  # also that of the name of an array task
        if any("vars" in each for each in arguments.settings) and not config.refers_to_constants:
            raise ConfigError("--vars changes nothing, since no value refers to vars; set the values themselves")
    else:
        saved = saved_tree(checkpoint, [given], arguments.trust)
        config = resume_config(checkpoint, saved, arguments.settings, build_training_set)
        if any("name" in file for file in files):  # the yaml of an experiment, not only presets
            warn_of_ignored_changes(config, given, build_training_set)
    return StageCLI(arguments, config, checkpoint, interruption, stack, pruning=pruning)


def _build_evaluation(
    arguments: Arguments, files: list[Tree], interruption: Interruption, stack: ExitStack
) -> StageCLI:
    build, label = _evaluation_class(arguments)
    path, *others = find_checkpoints(arguments)
    if path.suffix.lower() == ONNX:
        return _build_exported(path, arguments, files, interruption, stack)
    results = Path(arguments.options.get("results_dir", run_dir_of(path) / "eval" / label))
    check_writable(results)
    config, checkpoint = _load_with_config(path, arguments, files)
    if isinstance(checkpoint, BareWeights):
        results = Path(arguments.options.get("results_dir", path.parent / "eval" / path.stem / label))
        if "results_dir" not in arguments.options and results.exists():
            raise ConfigError(f"{results} already contains results of {path.name}; set --results_dir")
    if others:
        members = [_load_with_config(other, arguments, files) for other in others]
        checkpoint = Ensemble(path, checkpoint.content, members)
    return build(arguments, config, checkpoint, interruption, stack, results)


def _build_export(arguments: Arguments, files: list[Tree], interruption: Interruption, stack: ExitStack) -> StageCLI:
    parse_formats(arguments.options.get("formats"))
    path = find_checkpoint(Path(arguments.ckpt_path))
    directory = Path(arguments.options.get("export_dir", run_dir_of(path) / "export"))
    check_writable(directory, "--export_dir")
    checksum = sha256(path)
    config, checkpoint = _load_with_config(path, arguments, files)
    if sha256(path) != checksum:  # a training may be running
        raise ConfigError(f"{path} was replaced while it was loaded; export it again")
    checkpoint.sha256 = checksum
    return StageCLI(arguments, config, checkpoint, interruption, stack, directory)


def _load_with_config(path: Path, arguments: Arguments, files: list[Tree]) -> tuple[Config, LoadedCheckpoint]:
    """Load a checkpoint and its configuration; for bare weights, that of the yaml files."""
    given = [*files, *arguments.settings]
    if files and not is_checkpoint(content := safe_load(path)):
        return build_config(merge_all(given), build_training_set), bare_weights(path, content)
    checkpoint = load_checkpoint(path)
    saved = locate(saved_tree(checkpoint, given, arguments.trust), run_dir_of(path))
    return build_over_saved(saved, given, arguments.stage, build_training_set), checkpoint


def _build_exported(
    path: Path, arguments: Arguments, files: list[Tree], interruption: Interruption, stack: ExitStack
) -> StageCLI:
    build, label = _evaluation_class(arguments)
    results = Path(arguments.options.get("results_dir", results_directory(path, label)))
    check_writable(results)
    exported, given = load_exported(path), [*files, *arguments.settings]
    saved = locate(saved_tree(exported, given, arguments.trust), origin_directory(path))
    given += in_full_precision(merge_all([saved, *given]))
    config = build_over_saved(saved, given, arguments.stage, build_training_set)
    check_unchanged(saved, config, path)
    return build(arguments, config, exported, interruption, stack, results)


def _evaluation_class(arguments: Arguments) -> tuple[type[StageCLI], str]:
    """Return the class of an evaluation, and the name of its directory of results."""
    if "files" not in arguments.options:
        return StageCLI, arguments.stage
    if not arguments.options["files"]:
        raise ConfigError("--files takes a file, a directory or a pattern")
    return FileStageCLI, FILE_RESULTS
