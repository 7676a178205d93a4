"""The command `replay`, from options to an exit code."""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pytorch_lightning.callbacks import Callback

from project.core.cli.main import report_error, run_command
from project.core.console import print_text
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError, first_line, is_user_error, without_commands
from project.core.log import is_rank_zero
from project.study.replay.arguments import HELP, ReplayArguments, parse_replay
from project.study.replay.batches import Array
from project.study.replay.console import describe_replay, describe_start, describe_steps
from project.study.replay.debugger import PdbWatcher
from project.study.replay.extent import check_steps
from project.study.replay.files import replacing, write_json, write_step
from project.study.replay.logged import compare_logged, proof_step
from project.study.replay.observing import StepObserver
from project.study.replay.page import write_page
from project.study.replay.progress import ProgressLines
from project.study.replay.replaying import replay_steps
from project.study.replay.step_record import LoggedComparison, StepRecord
from project.study.replay.stretches import Stretch, find_stretches
from project.study.runs import read_run

_LONG = 10.0  # seconds that are announced


def main(argv: Sequence[str], interruption: Interruption | None = None) -> int:
    """Train steps of a run again, and show what happened in them.

    Args:
        argv: `replay`, the run directory, and options.
        interruption: receives the signals that ask the command to stop; there is nothing to save, so they end it.

    Returns:
        0 if all compared values are equal, or none was logged, 1 if one differs or an exception was raised, 2 for a
        mistake in the options; others are those of `fit`.

    Example::

        main(["replay", "experiments/digits", "--step", "58"])
    """
    return run_command(lambda: _command(argv), interruption, "WARNING")


def _command(argv: Sequence[str]) -> int:
    arguments = parse_replay(argv[1:])
    if arguments is None:
        print_text(HELP)
        return 0
    return _replay(arguments)


def _replay(arguments: ReplayArguments) -> int:
    run, first, last = arguments.run, arguments.first, arguments.last
    stretches = find_stretches(run, first, last)
    if not arguments.changes:  # such as of the length of the run
        check_steps(run, last)
    if arguments.pdb:
        _check_processes(stretches[-1], arguments)
    # Without a logged value nothing would be proven: the replay goes on to the next one.
    end = last if arguments.pdb else proof_step(run, stretches[0].first, last) or last
    if end > last:
        stretches = find_stretches(run, first, end)
    _announce(arguments, stretches[0], end)
    with ExitStack() as stack:
        directory = stack.enter_context(replacing(arguments.to)) if is_rank_zero() else Path()
        return _replay_to(directory, arguments, stretches, end)


def _replay_to(directory: Path, arguments: ReplayArguments, stretches: list[Stretch], end: int) -> int:
    """Replay, and write the files to a directory."""
    run, records, began = arguments.run, dict[int, StepRecord](), time.monotonic()

    def on_step(record: StepRecord, batch: dict[str, Array]) -> None:
        records[record.step] = record  # again, if the engine finds that it must repeat validations
        write_step(directory, record, batch)

    watchers: list[Callback] = [StepObserver(arguments.first, arguments.last, on_step)]
    if arguments.pdb:
        watchers.append(PdbWatcher(arguments.first))
    elif sys.stdout.isatty():
        watchers.append(ProgressLines(end))
    failure: Exception | None = None
    try:
        replayed = replay_steps(run, arguments.first, end, watchers, (), arguments.changes, stretches, arguments.trust)
        comparison = compare_logged(run, replayed)
    except Exception as error:
        if not records or is_user_error(error):
            raise
        failure = error
        comparison = LoggedComparison(0, [], [], stretches[0].first, max(records))  # the curves were not complete
    if not is_rank_zero():
        return 0
    seconds, start = time.monotonic() - began, describe_start(stretches[0])
    found = [records[step] for step in sorted(records)]
    content = {
        "run": str(run.resolve()),
        "start": start,
        "changed": arguments.changed,
        "verdict": comparison.verdict,
        "comparison": vars(comparison),
        "error": first_line(failure) if failure else None,
    }
    write_json(directory, content, found)
    page = write_page(directory, run, start, found, comparison, arguments.trust)
    again = describe_steps(stretches[0].first + 1, comparison.last)
    lines = [f"replayed {again} from {start} in {seconds:.1f} s"]
    lines += describe_replay(found, comparison, directory, arguments.to / page.name)
    print_text("".join(f"{without_commands(line)}\n" for line in lines))
    if failure:
        return report_error(failure)
    return 1 if comparison.verdict == "differs" else 0


def _check_processes(stretch: Stretch, arguments: ReplayArguments) -> None:
    """Raise ConfigError if several processes would stop in the debugger, at one terminal."""
    processes = (stretch.environment.get("threads") or {}).get("processes")
    is_changed = any(word.startswith("--trainer.devices") for word in arguments.changed)
    if isinstance(processes, int) and processes > 1 and not is_changed:
        raise ConfigError(f"--pdb: {processes} processes trained the run, but the debugger needs a single one")


def _announce(arguments: ReplayArguments, stretch: Stretch, end: int) -> None:
    """Say what was changed, and how long it takes, before it begins."""
    if not is_rank_zero():
        return
    if arguments.changed:
        changed = without_commands(" ".join(arguments.changed))
        print_text(f"changed from the run: {changed}; values may differ from those of the run\n")
    if end > arguments.last:
        print_text(f"going on to step {end}, the next at which the run logged a value to compare\n")
    row, steps = read_run(arguments.run), end - stretch.first
    seconds = row.seconds / row.steps * steps if row.seconds and row.steps else 0.0
    took = f", which took the run about {seconds:.0f} s" if seconds >= 1 else ""
    if stretch.checkpoint is None and steps > 1:
        print_text(f"no checkpoint is before step {arguments.first}: training {steps} steps from the start{took}\n")
    elif seconds >= _LONG:
        print_text(f"training {steps} steps from {describe_start(stretch)}{took}\n")
