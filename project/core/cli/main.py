"""The command line, from arguments to an exit code."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from lightning_fabric.utilities.spike import TrainingSpikeException
from loguru import logger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from project.core.cli.arguments import Arguments, parse_arguments
from project.core.cli.building import build_training_set
from project.core.cli.ensemble import Ensemble, find_checkpoints
from project.core.cli.file_stage import RESULTS as FILE_RESULTS
from project.core.cli.file_stage import FileStageCLI
from project.core.cli.help import component_help, describe_versions, stage_help
from project.core.cli.stages import StageCLI
from project.core.config.configuration import Config, build_config
from project.core.config.references import ReferenceResolver, show_references
from project.core.config.settings import DEFAULT_ROOT
from project.core.config.yaml_files import Tree, merge_all
from project.core.distributed.cluster import array_task_name
from project.core.distributed.reduction import barrier_on_exit
from project.core.distributed.signals import (
    Interrupted,
    InterruptedWait,
    Interruption,
    restoring_signals,
    wait_unless_signaled,
)
from project.core.errors import (
    ConfigError,
    RunStopped,
    error_location,
    find_cause,
    is_user_error,
    message_of,
    shorten_causes,
    user_message,
)
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
from project.core.garbage import delaying_collection
from project.core.log import is_rank_zero, logging_to_console, print_text, rank
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

LOST_PROCESS = "another process of the run ended or does not answer"
_REPORT_DELAY = 3.0  # seconds that a rank waits for rank 0 to report a mistake that all ranks find


def main(
    argv: Sequence[str] | None = None,
    interruption: Interruption | None = None,
    pruning: Pruning | None = None,
) -> int:
    """Run a stage.

    Args:
        argv: command-line arguments after `cli.py`; None takes `sys.argv`.
        interruption: receives the signals that ask the run to stop; None creates one.
        pruning: decides after each validation whether a training ends; None lets it end by itself.

    Returns:
        0 if done, 2 for a mistake in yaml or options, 1 for an exception in the user's code (SystemExit as well), a
        full disk or a stop by the engine, 75 if SIGTERM, SIGUSR1 or SIGUSR2 stopped a training with everything saved,
        128 plus the number of the signal if another signal did.

    Example::

        main(["fit", "--config", "configs/digits.yaml"])
    """
    code, interrupted = 0, None
    with ExitStack() as stack:
        begin_collection = stack.enter_context(delaying_collection())
        stack.enter_context(logging_to_console("INFO"))
        stack.enter_context(restoring_signals())
        try:
            arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
            _run(arguments, interruption or Interruption(), pruning, stack, begin_collection)
        except BaseException as error:
            code, interrupted = report_error(error), find_cause(error, Interrupted)
    if interrupted is not None and not isinstance(interrupted, InterruptedWait):
        barrier_on_exit()
    return code


def report_error(error: BaseException) -> int:
    """Log an error in the form that helps the person who caused it; return the exit code."""
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        logger.warning("stopped by Ctrl-C")
        return 128 + signal.SIGINT
    if isinstance(error, SIGTERMException):
        return 128 + signal.SIGTERM
    if is_user_error(error):
        if is_rank_zero():
            print("error:", user_message(error), file=sys.stderr)
        elif wait_unless_signaled(_REPORT_DELAY):  # no signal: rank 0 did not end with this mistake
            print(f"[rank {rank()}] error:", user_message(error), file=sys.stderr)
        return 2
    if interrupted := find_cause(error, Interrupted):
        logger.warning(interrupted)
        return interrupted.code
    if stopped := find_cause(error, RunStopped) or _full_disk(error) or _lost_process(error) or _loss_spike(error):
        logger.error(stopped)
    else:
        shorten_causes(error)
        logger.opt(exception=error).error(error_location(error))
    return 1


def _run(
    arguments: Arguments,
    interruption: Interruption,
    pruning: Pruning | None,
    stack: ExitStack,
    begin_collection: Callable[[], None],
) -> None:
    if arguments.stage != "fit":
        interruption.uninstall()
    if arguments.help:
        print_text(f"{stage_help(arguments.stage)}\n")
        return
    if arguments.version:
        print_text(f"{describe_versions()}\n")
        return
    files = arguments.read_files()
    if arguments.component_help is not None:
        tree = merge_all([*files, *arguments.settings])
        tree = ReferenceResolver(tree).resolve_known(tree)
        print_text(f"{component_help(*arguments.component_help, tree)}\n")
        return
    shared = (arguments, files, interruption, stack)
    build = _build_export if arguments.stage == "export" else _build_evaluation
    stage = build_fit(*shared, pruning) if arguments.stage == "fit" else build(*shared)
    if arguments.print_config:
        print_text(show_references(stage.config_yaml, stage.checked_config.references))
    else:
        begin_collection()
        stage.run()


def build_fit(
    arguments: Arguments,
    files: list[Tree],
    interruption: Interruption,
    stack: ExitStack,
    pruning: Pruning | None = None,
) -> StageCLI:
    """Build the stage fit; see `main` and StageCLI."""
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


def _full_disk(error: BaseException) -> RunStopped | None:
    """Return what to report if the disk is full, whatever was being written."""
    full = find_cause(error, OSError)
    if full is None or full.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return RunStopped(f"the disk is full; the checkpoints are intact: {full}")


def _loss_spike(error: BaseException) -> RunStopped | None:
    """Return what to report if Lightning's SpikeDetection ended the run."""
    spike = find_cause(error, TrainingSpikeException)
    return RunStopped(f"SpikeDetection: {spike}; skip_batches.json lists it and the one before") if spike else None


def _lost_process(error: BaseException) -> RunStopped | None:
    """Return what to report if another process ended or does not answer; that process logs the reason."""
    # Matched: messages of gloo, which raises plain RuntimeErrors.
    is_gloo = any(text in message_of(error) for text in ("third_party/gloo", "Application timeout caused pair closure"))
    lost = error if is_gloo else find_cause(error, torch.distributed.DistError)
    if lost is None:
        return None
    text = message_of(lost)
    if "EADDRINUSE" in text:
        return RunStopped(f"port in use; set MASTER_PORT to a free port: {text}")
    return RunStopped(f"{LOST_PROCESS}: {text}")
