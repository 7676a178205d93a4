"""The command line: from what was typed to an exit code."""

import errno
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from loguru import logger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from project.core.agreement import wait_for_others
from project.core.arguments import Arguments, parse_arguments
from project.core.checkpoint import find_checkpoint, read_checkpoint, run_of
from project.core.config import build_config
from project.core.errors import ConfigError, Stopped, find_in, is_mistake, mistake, where_raised
from project.core.help import slot_help, stage_help
from project.core.interruption import Interrupted, Interruption, outlives, signals_restored
from project.core.log import logging_to, on_first_rank, rank
from project.core.resume import find_origin, name_task
from project.core.stages import Stages, Trained
from project.core.yaml_files import Tree, merge_all, parse_yaml, read_config

_SECONDS = 3.0  # that other processes have to tell of a mistake which all of them find


def main(argv: Sequence[str] | None = None, interruption: Interruption | None = None) -> int:
    """Runs one stage.

    Args:
        argv: what was typed behind `cli.py`; `sys.argv` unless given.
        interruption: listens to signals already.

    Returns:
        0 when done, 2 for a mistake in yaml or options, 1 for an exception in somebody's code, 75 when SIGTERM or
        SIGUSR1 ended a training of which nothing is lost, else 128 and the number of the signal that ended it.
    """
    code, interrupted = 0, False
    with ExitStack() as stack:
        stack.enter_context(logging_to("INFO"))
        stack.enter_context(signals_restored())
        try:
            arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
            _run(arguments, interruption or Interruption(), stack)
        except BaseException as error:
            code, interrupted = _told(error), find_in(error, Interrupted) is not None
    if interrupted:
        wait_for_others()
    return code


def _told(error: BaseException) -> int:
    """Says why it ended, in the form that the person who caused it needs, and returns the exit code."""
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        logger.warning("ended by Ctrl-C")
        return 128 + signal.SIGINT
    if isinstance(error, SIGTERMException):
        return 128 + signal.SIGTERM
    if not isinstance(error, Exception):
        raise error
    if is_mistake(error):
        if on_first_rank():
            print("error:", mistake(error), file=sys.stderr)
        elif outlives(_SECONDS):  # the first process, and with it this one, would have ended by the same mistake
            print(f"[rank {rank()}] error:", mistake(error), file=sys.stderr)
        return 2
    if interrupted := find_in(error, Interrupted):
        logger.warning(interrupted)
        return interrupted.code
    if stopped := find_in(error, Stopped) or _full_disk(error) or _lost_process(error):
        logger.error(stopped)
    else:
        logger.opt(exception=error).error(where_raised(error))
    return 1


def _run(arguments: Arguments, interruption: Interruption, stack: ExitStack) -> None:
    if arguments.stage != "fit":
        interruption.let_go()
    if arguments.help:
        print(stage_help(arguments.stage))
        return
    files = [read_config(path) for path in arguments.configs]
    if arguments.slot_help is not None:
        print(slot_help(*arguments.slot_help, merge_all([*files, *arguments.overrides])))
        return
    if arguments.stage == "fit":
        name_task(arguments, files, os.environ)
    origin, trained = find_origin(arguments, files, os.environ), _trained(arguments)
    if origin is not None:
        config = origin.config(arguments.overrides)
        if any("name" in file for file in files):  # not of presets alone
            origin.warn_of(files, arguments.overrides)
    else:
        saved = _config_of(trained) if trained else {}
        config = build_config(merge_all([saved, *files, *arguments.overrides]))
    Stages(arguments, config, trained or origin, interruption, stack)


def _trained(arguments: Arguments) -> Trained | None:
    if arguments.stage == "fit":
        return None
    if "ckpt_path" not in arguments.options:
        raise ConfigError(f"{arguments.stage} needs --ckpt_path FILE|FOLDER, such as experiments/NAME")
    path = find_checkpoint(Path(arguments.options["ckpt_path"]))
    results = arguments.options.get("results_dir", run_of(path) / "eval" / arguments.stage)
    if Path(results).is_file():
        raise ConfigError(f"--results_dir {results} is a file; it must be a folder, or a new name")
    return Trained(read_checkpoint(path), path, Path(results))


def _full_disk(error: Exception) -> Stopped | None:
    """What to say where the disk is full, whatever was being written."""
    full = find_in(error, OSError)
    if full is None or full.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return Stopped(f"the disk is full; the checkpoints are as they were: {full}")


def _lost_process(error: Exception) -> Stopped | None:
    """What to say where another process of the run has ended, or is silent: its own message says why."""
    gloo = any(sign in str(error) for sign in ("third_party/gloo", "Application timeout caused pair closure"))
    lost = find_in(error, torch.distributed.DistError) or (gloo and error)
    if "EADDRINUSE" in str(lost):
        return Stopped(f"the port at which the processes meet is taken; set MASTER_PORT to another: {lost}")
    return Stopped(f"another process of the run has ended or does not answer: {lost}") if lost else None


def _config_of(trained: Trained) -> Tree:
    tree: Tree = parse_yaml(trained.checkpoint["run_config"], f"the config in {trained.path}")
    return tree
