"""The command line, from arguments to an exit code."""

import errno
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import FrameType

import torch
from lightning_fabric.utilities.spike import TrainingSpikeException
from loguru import logger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from project.core.cli.arguments import Arguments, parse_arguments
from project.core.cli.help import component_help, describe_versions, stage_help
from project.core.cli.stage_building import build_stage
from project.core.config.references import ReferenceResolver, show_references
from project.core.config.yaml_files import merge_all
from project.core.console import print_text
from project.core.distributed.reduction import barrier_on_exit
from project.core.distributed.signals import (
    TERMINATION_SIGNALS,
    Interrupted,
    InterruptedWait,
    Interruption,
    restoring_signals,
    wait_unless_signaled,
)
from project.core.errors import (
    RunStopped,
    error_location,
    find_cause,
    is_user_error,
    message_of,
    shorten_causes,
    user_message,
)
from project.core.garbage import delaying_collection
from project.core.log import is_rank_zero, logging_to_console, rank
from project.core.run.pruning import Pruning

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


def run_command(work: Callable[[], int], interruption: Interruption | None, level: str = "INFO") -> int:
    """Return the exit code of a command that has nothing to save: signals end it, and errors are reported.

    Args:
        work: does what the command is for, and returns its exit code.
        interruption: receives the signals that ask the process to stop, until now; None if nothing does.
        level: the level from which on messages are shown.
    """
    with ExitStack() as stack:
        stack.enter_context(logging_to_console(level))
        stack.enter_context(restoring_signals())
        try:
            _end_on_signals(interruption)
            return work()
        except BaseException as error:
            return report_error(error)


def _end_on_signals(interruption: Interruption | None) -> None:
    """Have signals end a command that saves nothing where it is, so that it removes its temporary files.

    Args:
        interruption: has received the signals until now.
    """
    if interruption is not None:
        interruption.uninstall()

    def end(number: int, frame: FrameType | None) -> None:
        for each in TERMINATION_SIGNALS:  # a second one would interrupt the removal
            signal.signal(each, signal.SIG_IGN)
        raise SIGTERMException

    if threading.current_thread() is threading.main_thread():
        for number in TERMINATION_SIGNALS:
            signal.signal(number, end)


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
    is_shown = arguments.help or arguments.print_config or arguments.component_help is not None
    if arguments.stage != "fit" or is_shown:
        interruption.uninstall()  # nothing is to be saved: the signal ends the process
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
    stage = build_stage(arguments, files, interruption, stack, pruning)
    if arguments.print_config:
        print_text(show_references(stage.config_yaml, stage.checked_config.references))
    else:
        begin_collection()
        stage.run()


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
